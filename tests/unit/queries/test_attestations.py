"""Asking control for a key history while it restarts."""

import asyncio

import msgspec
import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.bus.subjects import attest
from agentplane.errors import Transient
from agentplane.queries.attestations import EXECUTOR_KEYS, executor_keys


async def test_a_control_that_comes_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    bus, unanswered = MemoryBus(), asyncio.Event()
    request = bus.request

    async def counted(subject: str, data: bytes, *, timeout_s: float) -> bytes:
        try:
            return await request(subject, data, timeout_s=timeout_s)
        except Transient:
            unanswered.set()
            raise

    async def vouch(subject: str, data: bytes) -> bytes:
        return msgspec.json.encode({"ok": {"envelope": 1}})

    monkeypatch.setattr(bus, "request", counted)
    asking = asyncio.create_task(executor_keys(bus, "acme", "run-1", absent_s=60))
    await unanswered.wait()
    await bus.respond(attest("acme", EXECUTOR_KEYS), vouch)
    assert msgspec.json.decode(await asking) == {"envelope": 1}


async def test_nobody_is_waited_for_without_end() -> None:
    with pytest.raises(Transient) as caught:
        await executor_keys(MemoryBus(), "acme", "run-1", absent_s=0)
    assert caught.value.code == "bus.no-responder"
