"""What operators wish of executors, decided upon without processes: a log, a fold, the pure controllers."""

import uuid
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentplane.controllers import memberships, rotation
from agentplane.controllers.heartbeats import Standing, decide, objection
from agentplane.enrolment import facts
from agentplane.enrolment.fleet import with_joined
from agentplane.enrolment.keys import public_keys, trusted_keys
from agentplane.enrolment.model import Change, Enrolment
from agentplane.enrolment.requests import announcement
from agentplane.errors import AgentplaneError, Refused, Tampered
from agentplane.evidence.keys import Ed25519Signer, executor_identity
from agentplane.intents.executors import wish
from agentplane.runs.states import RunState
from tests.scenario.world import START, World, signer_for

NKEYS = iter("U" + letter * 55 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
NUMBERS = iter(range(1, 1000))


def wished(world: World, type_: str, said: msgspec.Struct, name: str = "exec-1") -> tuple[str, ...]:
    intent = wish(uuid.UUID(int=next(NUMBERS)), executor=name, type_=type_, actor="user:op", now=world.now, said=said)
    return world.take(memberships.decide(world.state, intent, lambda _: False, world.now))


def refused(world: World, type_: str, said: msgspec.Struct, name: str = "exec-1") -> str:
    with pytest.raises(Refused) as caught:
        wished(world, type_, said, name)
    return caught.value.code


def leased(world: World) -> tuple[str, Any]:
    """A run that exec-1 holds and has started."""
    world.beat()
    name = world.request()
    world.place(name)
    assignment = world.beat().assignments[0]
    world.report(world.executors["exec-1"].started(assignment))
    return name, assignment


class TestDraining:
    def test_what_runs_is_finished_and_nothing_new_is_taken(self) -> None:
        world = World()
        first, assignment = leased(world)
        types = wished(world, facts.DRAIN_REQUESTED, facts.Wish(reason="new disks"))
        assert types == ("executor.drain-requested", "executor.draining")
        second = world.request(2)
        assert world.place(second) == ("run.waiting",)
        table = world.payload(second, "run.waiting")["table"]
        assert table[0]["reasons"] == ["draining: draining since 2026-03-01T12:00:00Z by user:op (new disks)"]
        world.report(world.executors["exec-1"].finished(assignment))
        assert world.run(first).state is RunState.SUCCEEDED
        assert wished(world, facts.RESUME_REQUESTED, facts.Wish()) == ("executor.resume-requested", "executor.resumed")
        assert "run.placed" in world.place(second)

    def test_what_is_so_already_changes_nothing(self) -> None:
        world = World()
        world.beat()
        assert refused(world, facts.RESUME_REQUESTED, facts.Wish()) == "executor.unchanged"
        wished(world, facts.DRAIN_REQUESTED, facts.Wish())
        assert refused(world, facts.DRAIN_REQUESTED, facts.Wish()) == "executor.unchanged"

    def test_nobody_drains_whom_nobody_knows(self) -> None:
        assert refused(World(), facts.DRAIN_REQUESTED, facts.Wish(), "ghost") == "executor.unknown"


class TestLeaving:
    def test_retiring_waits_for_runs_unless_forced(self) -> None:
        world = World()
        name, _ = leased(world)
        assert refused(world, facts.RETIREMENT_REQUESTED, facts.RetirementRequested()) == "executor.busy"
        types = wished(world, facts.RETIREMENT_REQUESTED, facts.RetirementRequested(force=True))
        assert types[:3] == ("executor.retirement-requested", "executor.retired", "executor.released")
        assert world.run(name).lease is None
        assert world.run(name).placeable
        assert refused(world, facts.DRAIN_REQUESTED, facts.Wish()) == "executor.left"

    def test_a_revoked_executors_runs_are_fenced_and_placed_again(self) -> None:
        world = World("exec-1", "exec-2")
        world.beat("exec-2")
        world.heard.pop("exec-2")  # only exec-1 can take it at first
        name, assignment = leased(world)
        wished(world, facts.REVOCATION_REQUESTED, facts.Wish(reason="stolen"))
        assert world.executor().leases == ()
        world.beat("exec-2")
        world.place(name)
        assert (world.run(name).holder, world.run(name).epoch) == ("exec-2", 2)
        world.report(world.executors["exec-1"].finished(assignment))
        late = world.payload(name, "run.evidence")
        assert (late["fenced"], late["mark"]) == (True, "key-revoked")
        assert world.run(name).state is RunState.LEASED

    def test_evidence_before_the_revocation_has_no_mark(self) -> None:
        world = World()
        name, _ = leased(world)
        wished(world, facts.REVOCATION_REQUESTED, facts.Wish())
        assert "mark" not in world.payload(name, "run.evidence")

    @pytest.mark.parametrize(
        ("type_", "said", "code"),
        [
            (facts.REVOCATION_REQUESTED, facts.Wish(), "executor.revoked"),
            (facts.RETIREMENT_REQUESTED, facts.RetirementRequested(), "executor.retired"),
        ],
    )
    def test_its_heartbeats_are_refused_by_code(self, type_: str, said: msgspec.Struct, code: str) -> None:
        world = World()
        world.beat()
        wished(world, type_, said)
        request = world.executors["exec-1"].heartbeat()
        standing = Standing(
            known=True, enabled=True, key_ids=frozenset({request.key_id}), enrolment=world.executor().enrolment
        )
        found = objection(request, standing, world.now)
        assert found is not None
        assert found.code == code


class Rotating:
    """A world whose executor is asked for new keys."""

    def __init__(self, overlap_s: int = 100) -> None:
        self.world = World()
        self.world.beat()
        self.old = self.world.executors["exec-1"].signer
        self.new = Ed25519Signer(Ed25519PrivateKey.generate(), executor_identity("exec-1"))
        wished(self.world, facts.ROTATION_REQUESTED, facts.RotationRequested(overlap_s=overlap_s))

    def announce(self, old: Ed25519Signer | None = None, name: str = "exec-1") -> tuple[str, ...]:
        keys = public_keys(self.new.public_key, next(NKEYS))
        request = announcement(name, keys, old or self.old, self.new)
        return self.world.take(rotation.decide(self.world.state, request, self.world.trusted, self.world.now))


class TestRotation:
    def test_both_keys_count_until_the_overlap_ends(self) -> None:
        rotating = Rotating()
        assert rotating.announce() == ("executor.key-announced",)
        known = rotating.world.executor().enrolment
        assert known.rotation is None
        rotating.world.later(99)
        assert known.mark(rotating.old.key_id, rotating.world.now) == ""
        rotating.world.later(1)
        assert known.mark(rotating.old.key_id, rotating.world.now) == "key-expired"
        assert known.mark(rotating.new.key_id, rotating.world.now) == ""

    def test_statements_of_both_keys_are_trusted_and_late_ones_of_the_old_marked(self) -> None:
        rotating = Rotating()
        world = rotating.world
        name = world.request()
        world.place(name)
        assignment = world.beat().assignments[0]
        rotating.announce()
        world.trusted = trusted_keys(world.trusted, [("exec-1", world.executor().enrolment)])
        executor = world.executors["exec-1"]
        world.report(executor.started(assignment))
        assert "mark" not in world.payload(name, "run.evidence")
        world.later(100)
        with_old = executor.record(assignment, {"kind": "RunArtifact"})
        world.report(with_old)
        assert world.payload(name, "run.evidence")["mark"] == "key-expired"
        executor.signer = rotating.new
        world.report(executor.finished(assignment))
        assert world.run(name).state is RunState.SUCCEEDED

    def test_nobody_else_vouches_for_new_keys(self) -> None:
        rotating = Rotating()
        stranger = Ed25519Signer(Ed25519PrivateKey.generate(), executor_identity("exec-1"))
        with pytest.raises(Tampered) as caught:
            rotating.announce(stranger)
        assert caught.value.code == "evidence.untrusted-key"
        with pytest.raises(AgentplaneError) as caught_:
            rotating.announce(signer_for("control"))
        assert caught_.value.code == "evidence.signer"

    def test_nobody_asked(self) -> None:
        rotating = Rotating()
        rotating.announce()
        rotating.new = Ed25519Signer(Ed25519PrivateKey.generate(), executor_identity("exec-1"))
        with pytest.raises(Refused) as caught:
            rotating.announce()
        assert caught.value.code == "rotation.not-asked"


class TestClock:
    def test_far_off_is_news_once_and_so_is_right_again(self) -> None:
        world = World()
        world.beat()

        def beat(skew_s: int) -> tuple[str, ...]:
            from datetime import timedelta

            request = world.executors["exec-1"].heartbeat()
            said = msgspec.structs.replace(request, clock=world.now + timedelta(seconds=skew_s))
            return world.take(decide(world.executor(), said, world.now))

        assert beat(60) == ()
        assert beat(-61) == ("executor.clock-off",)
        assert beat(-500) == ()
        name = world.request()
        world.place(name)
        assert world.payload(name, "run.waiting")["table"][0]["reasons"] == [
            "clock: its clock is 61 s behind, more than 60 s"
        ]
        assert beat(3) == ("executor.clock-right",)
        assert "run.placed" in world.place(name)


def test_who_joined_is_in_the_fleet_and_who_left_is_not() -> None:
    inventory = World().scheme.inventory
    change = Change(by="user:op", reason="", at=START)
    joined = Enrolment(approved=change, zone="vault")
    fleet = with_joined(inventory, [("new", joined), ("exec-1", joined), ("asks", Enrolment())])
    assert [node.name for node in fleet.executors] == ["exec-1", "new"]
    new = fleet.executor("new")
    assert new is not None
    assert new.trust_zone == "vault"
    gone = msgspec.structs.replace(joined, revoked=change)
    assert with_joined(inventory, [("new", gone)]) == inventory
