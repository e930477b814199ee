"""Placement decided: a waiting run gets a lease, or says for what it waits. Pure.

`run.placed` and `executor.leased` are one append at the versions of both streams. Two control processes that both see
the last free place cannot both take it: one of them reads on and decides again.

An executor that lost an attempt of the run is asked again only when nobody else can take it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.drafts import Draft
from agentplane.controllers.recording import decided, fleet_inputs
from agentplane.controllers.records import ExecutorRecord, RunKey, RunRecord
from agentplane.controllers.state import ControlState
from agentplane.enrolment.fleet import with_joined
from agentplane.evidence.dsse import envelope_value
from agentplane.evidence.journal import next_link
from agentplane.evidence.keys import Signer
from agentplane.evidence.record import About, issue
from agentplane.evidence.statement import RunRef
from agentplane.fleet.inventory import Inventory
from agentplane.intents.runs import run_stream
from agentplane.placement.artifact import placement_decision_artifact
from agentplane.placement.model import ExecutorState, Placement, PlacementRequest
from agentplane.placement.place import place
from agentplane.policy import Policy
from agentplane.runs import executors, facts
from agentplane.runs.executors import ExecutorLeased, executor_stream
from agentplane.runs.model import Check, RunCreated, RunPlaced, RunWaiting
from agentplane.runs.pinned import pinned_digest, pinned_of
from agentplane.runs.states import RunState

Heard = Callable[[str], datetime | None]


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """What placement goes by."""

    inventory: Inventory
    policy: Policy
    signer: Signer
    lease_seconds: int
    rules: dict[str, str] = {}

    def is_stale(self, heard: datetime | None, now: datetime) -> bool:
        """Whether an executor that was heard of then counts as unreachable now."""
        return heard is None or now - heard > timedelta(seconds=self.policy.stale_after_s)


def in_order(waiting: Iterable[RunRecord]) -> list[RunRecord]:
    """The order in which runs are placed: each tenant's first, then each tenant's second, …; older ones first."""
    ranks: Counter[str] = Counter()
    ranked: list[tuple[int, int, RunRecord]] = []
    for run in sorted(waiting, key=lambda each: each.sequence):
        ranked.append((ranks[run.key.tenant], run.sequence, run))
        ranks[run.key.tenant] += 1
    return [run for _, _, run in sorted(ranked, key=lambda each: each[:2])]


def decide(state: ControlState, run: RunRecord, *, heard: Heard, scheme: Scheme, now: datetime) -> Decision:
    """Place a waiting run, or say why it waits if that is news. `heard`: when an executor was last heard of."""
    if not run.placeable or run.created is None:
        return NOTHING
    placement = _place(state, run, run.created, heard, scheme, now)
    draft = Draft("placement", run.last_event, correlation_id=run.correlation_id, causation_id=run.last_event, now=now)
    if placement.chosen is None:
        return _wait(draft, run, placement, lambda: _decided(state, run, heard, scheme, now))
    by = _decided(state, run, heard, scheme, now)
    return _lease(draft, run, run.created, state.executor(placement.chosen), placement, scheme, now, by)


def _decided(state: ControlState, run: RunRecord, heard: Heard, scheme: Scheme, now: datetime) -> dict[str, Any]:
    fleet = fleet_inputs(state.executors(), heard, now)
    return decided("placement", rules=scheme.rules.get(run.key.tenant), **fleet)


def _place(  # noqa: PLR0917 - private; one call each
    state: ControlState, run: RunRecord, created: RunCreated, heard: Heard, scheme: Scheme, now: datetime
) -> Placement:
    inventory = with_joined(scheme.inventory, [(each.name, each.enrolment) for each in state.executors()])
    fleet = [
        _as_known(executor, heard(executor.name)) for executor in state.executors() if _counts(executor, inventory)
    ]
    attempt = place(_request(state, run, created, run.lost_on), inventory, fleet, scheme.policy, now)
    if attempt.chosen is not None or not run.lost_on:
        return attempt
    return place(_request(state, run, created, ()), inventory, fleet, scheme.policy, now)


def _counts(executor: ExecutorRecord, inventory: Inventory) -> bool:
    """Whether a table should speak of it: who has left is spoken of only while the inventory still names it."""
    return not executor.enrolment.left or inventory.executor(executor.name) is not None


def _as_known(executor: ExecutorRecord, heard: datetime | None) -> ExecutorState:
    known = executor.enrolment
    gone = known.revoked or known.retired
    return ExecutorState(
        name=executor.name,
        facts=executor.facts,
        last_seen=heard,
        left=(known.phase, f"{known.phase} {gone.words()}") if gone else None,
        drain=known.draining.words() if known.draining else None,
        clock=known.clock.words() if known.clock else None,
        leases=tuple(lease.resources for lease in executor.leases),
        fenced=executor.fenced,
    )


def _request(state: ControlState, run: RunRecord, created: RunCreated, excluded: tuple[str, ...]) -> PlacementRequest:
    named_by_bundle = created.bundle.get("spec", {}).get("executor", {}).get("ref")
    return PlacementRequest.of(
        created.pins,
        executor_ref=named_by_bundle,
        wish=None if named_by_bundle else created.requested_executor,
        excluded=excluded,
        arch=_arch(state, run, created),
    )


def _arch(state: ControlState, run: RunRecord, created: RunCreated) -> str | None:
    """The architecture that a replayed guest was built for: that of the executor which ran the original."""
    if created.replay_of is None or created.replay_guest is None:
        return None
    original = state.run(RunKey(run.key.tenant, created.replay_of))
    known = state.executor(original.holder).facts if original and original.holder else None
    return known.arch if known else None


def _wait(draft: Draft, run: RunRecord, placement: Placement, by: Callable[[], dict[str, Any]]) -> Decision:
    before = run.waiting.table if run.waiting else None
    if before is not None and _gist(before) == _gist(placement.table):
        return NOTHING
    fact = RunWaiting(
        state=RunState.WAITING_FOR_RESOURCE, message=placement.message, table=placement.table, decided=by()
    )
    draft.add(run_stream(*run.key), run.version, facts.WAITING, fact)
    return draft.decision()


def _gist(table: Collection[Check]) -> frozenset[tuple[str, bool, frozenset[str]]]:
    """What a table says but for numbers that change while nothing happens, such as the age of a heartbeat."""
    return frozenset(
        (check.executor, check.feasible, frozenset(reason.partition(":")[0] for reason in check.reasons))
        for check in table
    )


def _lease(  # noqa: PLR0917 - private; one call
    draft: Draft,
    run: RunRecord,
    created: RunCreated,
    executor: ExecutorRecord,
    placement: Placement,
    scheme: Scheme,
    now: datetime,
    by: dict[str, Any],
) -> Decision:
    if placement.backend is None:
        raise ValueError("a placement without a backend")
    epoch = run.epoch + 1
    placed = RunPlaced(
        executor=executor.name,
        ssh_ref=placement.ssh_ref or "",
        epoch=epoch,
        backend=placement.backend,
        table=placement.table,
        decision=_signed(run, created, executor, placement, scheme, now),
        lease_seconds=scheme.lease_seconds,
        decided=by,
    )
    leased = ExecutorLeased(
        tenant=run.key.tenant,
        run=run.key.name,
        epoch=epoch,
        backend=placement.backend,
        resources=created.pins.resources,
    )
    draft.add(run_stream(*run.key), run.version, facts.PLACED, placed)
    draft.add(executor_stream(executor.name), executor.version, executors.LEASED, leased)
    return draft.decision(wake_executors=(executor.name,))


def _signed(  # noqa: PLR0917 - private; one call
    run: RunRecord, created: RunCreated, executor: ExecutorRecord, placement: Placement, scheme: Scheme, now: datetime
) -> dict[str, Any]:
    """The PlacementDecision as a signed envelope, linked to what control signed of the run before."""
    pins = created.pins
    artifact = placement_decision_artifact(
        placement,
        with_joined(scheme.inventory, [(executor.name, executor.enrolment)]),
        backend_intent=pins.backend_intent,
        pins_digest=pinned_digest(pinned_of(created)),
        captured_at=now,
    )
    about = About(
        run=RunRef(tenant=run.key.tenant, name=run.key.name, epoch=run.epoch + 1),
        bundle=pins.bundle,
        bundle_digest=pins.bundle_digest,
    )
    link = next_link(run.control_head, run_previous=run.control_head.digest)
    return envelope_value(issue(artifact, about=about, link=link, signer=scheme.signer).envelope)
