"""A document's way through while those who answer come and go."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.cli import applying
from agentplane.cli.applying import Applying
from agentplane.domains.admission import absent
from agentplane.domains.resource import Resource
from agentplane.errors import Transient
from agentplane.events.model import Event, StreamId
from tests.domains import REGISTRY

STREAM = StreamId("acme", "Lamp", "default", "hall")


class Projector:
    """Answers once, is away for two questions, and then has folded what was handed in."""

    def __init__(self) -> None:
        self.questions = 0
        self.handed_in: list[Event] = []

    async def one(self, *_: object, **__: object) -> Resource:
        self.questions += 1
        if self.questions == 1:
            return replace(absent(STREAM), exists=True)
        if self.questions <= 3:
            raise Transient("nobody answers", code="bus.no-responder")
        return replace(absent(STREAM), last_intent=self.handed_in[0].id)


async def test_what_was_handed_in_is_waited_for_while_the_projector_starts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    projector = Projector()

    async def silent() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield None

    async def publish(_: object, intent: Event) -> None:
        projector.handed_in.append(intent)

    monkeypatch.setattr(applying, "ResourceClient", lambda *_: projector)
    monkeypatch.setattr(applying, "facts_of", lambda *_: silent())
    monkeypatch.setattr(applying, "publish", publish)
    bus: Any = None
    assert await Applying(bus, REGISTRY, "user:ada").remove(STREAM, "", wait_s=30)
    assert projector.questions >= 4
