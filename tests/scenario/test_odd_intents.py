"""Intents that cannot be taken: each leaves its refusal and nothing else, and the next one is not held up."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.bus.subjects import event_subject
from agentplane.events.cloudevents import MAX_BYTES, attributes
from agentplane.events.model import Event
from tests.scenario.shell import AdversarialStore, Shell, intent, stored
from tests.scenario.world import TENANT

CASES: dict[str, Callable[[Event, Shell], Event]] = {
    "store.future": lambda wish, shell: replace(wish, time=shell.clock.now() + timedelta(minutes=5, seconds=1)),
    "intent.tenant": lambda wish, _: replace(wish, stream=replace(wish.stream, tenant="rival")),
    "intent.type": lambda wish, _: replace(wish, type="run.wished"),
    "cloudevent.too-large": lambda wish, _: replace(wish, data={"text": "x" * MAX_BYTES}),
    "intent.actor": lambda wish, _: replace(wish, actor="controller:runs"),
    "store.secret": lambda wish, _: replace(wish, data={**wish.data, "bundlePath": "ghp_" + "c" * 36}),
}


@pytest.mark.parametrize("code", CASES)
async def test_an_odd_intent_is_refused_by_its_code_and_stops_nobody(code: str) -> None:
    store, bus = AdversarialStore(), MemoryBus()
    shell = Shell(store, bus)
    async with shell.running():
        odd, fine = CASES[code](intent(), shell), intent()
        subject = event_subject(TENANT, odd.phase, odd.stream.kind, odd.type)
        await bus.publish(subject, orjson.dumps(attributes(odd)), message_id=str(uuid.uuid4()))
        await stored(store, "intent.rejected", 1)
        await bus.publish(subject_of(fine), orjson.dumps(attributes(fine)), message_id=str(uuid.uuid4()))
        await stored(store, "run.created", 1)
    rejected: list[Any] = [each.event.data["code"] for each in store._log if each.event.type == "intent.rejected"]
    assert rejected == [code]
    assert {each.event.stream.name for each in store._log if each.event.stream.kind == "Run"} == {fine.stream.name}


async def test_five_minutes_ahead_are_the_difference_of_two_clocks() -> None:
    store, bus = AdversarialStore(), MemoryBus()
    shell = Shell(store, bus)
    async with shell.running():
        edge = replace(intent(), time=shell.clock.now() + timedelta(minutes=5))
        await bus.publish(subject_of(edge), orjson.dumps(attributes(edge)), message_id=str(uuid.uuid4()))
        await stored(store, "run.created", 1)


def subject_of(event: Event) -> str:
    return event_subject(event.stream.tenant, event.phase, event.stream.kind, event.type)
