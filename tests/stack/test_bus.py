"""NATS may lose everything and repeat anything."""

import asyncio
import json
import os
import shutil
import signal
import uuid
from pathlib import Path

import msgspec
import pytest

from agentplane.bus import subjects
from agentplane.bus.nats import NatsBus
from agentplane.events import cloudevents
from agentplane.events.model import Event
from agentplane.stack.ports import load_ports
from tests.stack.plane import EXECUTOR, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack


async def publish(plane: Plane, role: str, subject: str, *bodies: bytes) -> None:
    """Each under a new id, so that NATS itself does not drop a repetition."""
    ports = load_ports(plane.layout.ports)
    assert ports is not None
    server = f"nats://127.0.0.1:{ports['nats']}"
    bus = await NatsBus.connect([server], nkey_seed_file=plane.layout.nkeys / f"{role}.nkey", name="test")
    for body in bodies:
        await bus.publish(subject, body, message_id=str(uuid.uuid4()))
    await bus.close()


def test_a_wiped_bus_costs_nothing_that_was_committed(plane: Plane, gated: Path, tmp_path: Path) -> None:
    run = plane.submit(gated)
    sleeper = plane.held(run)
    committed = plane.events(run)
    aside = plane.layout.nats.with_name("nats.wiped")
    plane.layout.nats.rename(aside)  # the successor finds nothing
    plane.kill("nats")
    shutil.rmtree(aside)
    os.kill(sleeper, signal.SIGTERM)
    assert plane.sealed(run)["succeeded"]
    assert plane.once_per_epoch(run) == [1]
    assert plane.events(run)[: len(committed)] == committed
    plane.view(run, "succeeded")
    plane.verify(run, tmp_path / "evidence")
    assert {row["equal"] for row in json.loads(plane.call("projections", "rebuild", "-o", "json").stdout)} == {True}


def test_an_intent_and_a_report_that_come_again_change_nothing(plane: Plane, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, "exit 0\n", name="again")
    wish = json.loads(plane.call("run", bundle, "--dry-run", "-o", "json").stdout)
    intent = msgspec.convert(wish, Event)
    run, body = intent.stream.name, cloudevents.encode(intent)
    subject = subjects.event_subject(intent.stream.tenant, intent.phase, intent.stream.kind, intent.type)
    asyncio.run(publish(plane, "user", subject, body, body, body))
    plane.sealed(run)
    before = plane.events(run)
    assert [type_ for type_, _ in before].count("run.requested") == 1
    assert plane.once_per_epoch(run) == [1]
    envelopes = [msgspec.json.encode(data["envelope"]) for type_, data in before if type_ == "run.evidence"]
    journal = plane.events(EXECUTOR, "Executor")
    asyncio.run(publish(plane, "executor", subjects.report(EXECUTOR), *envelopes, *envelopes))
    asyncio.run(publish(plane, "user", subject, body))
    later = plane.submit(make_bundle(tmp_path, "exit 0\n", name="later"))  # is handled after all of these
    plane.sealed(later)
    assert plane.events(run) == before
    rejected = [type_ for type_, _ in plane.events(EXECUTOR, "Executor")[len(journal) :] if "rejected" in type_]
    assert rejected == []
