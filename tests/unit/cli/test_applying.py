"""A document's way through while those who answer come and go."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.cli import applying
from agentplane.cli.applying import Applying
from agentplane.cli.resource_outcomes import Outcome
from agentplane.domains.admission import absent
from agentplane.domains.controller import Context, Controller, Decision, Emit, Watch
from agentplane.domains.model import Domain, Kind, Spec
from agentplane.domains.registry import Registry
from agentplane.domains.resource import Resource
from agentplane.domains.specs import read_wish
from agentplane.errors import Denied, NotFound, Transient
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


class Nobody:
    """A read model without anything in it."""

    async def one(self, stream: object, name: str, **_: object) -> Resource:
        raise NotFound(f"no {stream} {name}", code="resource.unknown")


class Refusing(Controller):
    NAME = "refusing"
    VERSION = 1
    WATCH = (Watch(kind="Shade", type="resource.applied"),)

    def authorize(self, context: Context) -> None:
        raise Denied("not you", code="shade.denied")

    def reconcile(self, context: Context) -> Decision | None:
        raise AssertionError("nobody was allowed to")


class Endless(Controller):
    NAME = "endless"
    VERSION = 1
    WATCH = (Watch(kind="Shade", type="*", own=True),)

    def reconcile(self, context: Context) -> Decision | None:
        return Decision(message="again", emit=(Emit(type="shade.moved", data={"at": context.event.type[:40]}),))


class Shade(Spec):
    width: int = 1


async def rehearsed(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    kind = Kind(name="Shade", plural="shades", api_version="shades.example/v1", spec=Shade, controllers=(controller,))
    registry = Registry((Domain(name="shades", kinds=(kind,)),))
    document = {"kind": "Shade", "metadata": {"name": "hall"}, "spec": {}}
    wish = read_wish(registry, document, tenant="acme", kind=None, origin="doc")
    monkeypatch.setattr(applying, "ResourceClient", lambda *_: Nobody())
    bus: Any = None
    return await Applying(bus, registry, "user:ada").rehearse(wish)


async def test_a_rehearsal_says_what_waiting_would_have_said(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await rehearsed(Refusing(), monkeypatch)
    assert outcome.failures == ("refusing: denied: shade.denied: not you",)
    assert outcome.complete


async def test_a_rehearsal_without_an_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await rehearsed(Endless(), monkeypatch)
    assert not outcome.complete
    assert not outcome.to_json()["complete"]
