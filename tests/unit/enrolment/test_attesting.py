"""What control signs about keys: events at which they came and went, and at which each statement was committed."""

import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentplane.controllers import attesting, memberships, rotation
from agentplane.enrolment import facts
from agentplane.enrolment.keys import public_keys, trusted_keys
from agentplane.enrolment.requests import announcement
from agentplane.errors import NotFound
from agentplane.events.model import StoredEvent
from agentplane.evidence.key_history import KeyHistory, open_history, trusting
from agentplane.evidence.keys import Ed25519Signer, TrustedKeys, executor_identity
from agentplane.intents.executors import wish
from agentplane.intents.runs import run_stream
from agentplane.runs.executors import executor_stream
from tests.scenario.world import TENANT, World, signer_for

CONTROL = signer_for("control")
ONLY_CONTROL = TrustedKeys({"control": (CONTROL.public_key,)})
NEXT = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"n" * 32), executor_identity("exec-1"))


def history(world: World, name: str, declared: TrustedKeys | None = None) -> KeyHistory:
    stream = world.log.stream(run_stream(TENANT, name))
    envelope = attesting.executor_keys(world.state, stream, declared or world.trusted, CONTROL, world.now)
    return open_history(envelope, ONLY_CONTROL).history


def event(world: World, type_: str) -> StoredEvent:
    (found,) = [each for each in world.log.stream(executor_stream("exec-1")) if each.event.type == type_]
    return found


def wished(world: World, number: int, type_: str, said: facts.RotationRequested | facts.Wish) -> None:
    intent = wish(uuid.UUID(int=number), executor="exec-1", type_=type_, actor="user:op", now=world.now, said=said)
    world.take(memberships.decide(world.state, intent, lambda _: False, world.now))


def rotated(world: World, overlap_s: int) -> None:
    wished(world, 71, facts.ROTATION_REQUESTED, facts.RotationRequested(overlap_s=overlap_s))
    request = announcement(
        "exec-1", public_keys(NEXT.public_key, "U" + "N" * 55), world.executors["exec-1"].signer, NEXT
    )
    world.take(rotation.decide(world.state, request, world.trusted, world.now))


def test_a_declared_key_counts_from_the_beginning_and_a_next_one_from_its_event() -> None:
    world = World()
    declared = world.trusted
    world.beat()
    name = world.request()
    world.place(name)
    executor = world.executors["exec-1"]
    assignment = world.beat().assignments[0]
    world.report(executor.started(assignment))
    (only,) = history(world, name).executors[0].keys
    assert (only.admitted, only.superseded, only.until) == (0, None, None)

    rotated(world, 100)
    world.trusted = trusted_keys(declared, [("exec-1", world.executor().enrolment)])
    executor.signer = NEXT
    world.report(executor.finished(assignment))
    said = history(world, name, declared)
    came = event(world, facts.KEY_ANNOUNCED)
    old, new = said.executors[0].keys
    assert (old.key_id, old.admitted, old.superseded) == (only.key_id, 0, came.sequence)
    assert (new.key_id, new.admitted, new.superseded, new.until) == (NEXT.key_id, came.sequence, None, None)
    assert old.until is not None
    assert [each.sequence for each in said.statements] == [
        each.sequence for each in world.log.stream(run_stream(TENANT, name)) if each.event.type == "run.evidence"
    ]
    assert said.statements[0].sequence < came.sequence < said.statements[1].sequence
    assert said.as_of == world.state.position
    known = {key.key_id for key in trusting(ONLY_CONTROL, said).keys()}  # noqa: SIM118 - not a dict
    assert known == {CONTROL.key_id, old.key_id, new.key_id}


def test_revocation_is_an_event_and_what_comes_after_it_is_marked() -> None:
    world = World()
    world.beat()
    name = world.request()
    world.place(name)
    executor = world.executors["exec-1"]
    assignment = world.beat().assignments[0]
    world.report(executor.started(assignment))
    wished(world, 72, facts.REVOCATION_REQUESTED, facts.Wish(reason="stolen"))
    world.report(executor.finished(assignment))
    said = history(world, name)
    assert said.executors[0].revoked == event(world, facts.REVOKED).sequence
    before, after = said.statements
    assert (before.mark, before.fenced) == ("", False)
    assert (after.mark, after.fenced) == ("key-revoked", True)
    assert before.sequence < (said.executors[0].revoked or 0) < after.sequence


def test_nothing_is_signed_about_a_run_that_is_not_there() -> None:
    world = World()
    with pytest.raises(NotFound):
        history(world, "hello-none")
