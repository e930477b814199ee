"""The choice. Pure.

Precedence: `spec.executor.ref`, then the caller's wish, then the inventory's default, then the best score. Whoever is
named by bundle or caller is the only one asked: a name that cannot take the run makes it wait, never go elsewhere.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from agentplane.fleet.inventory import Inventory
from agentplane.placement.feasible import degraded, degraded_reason, reasons
from agentplane.placement.model import Candidate, ExecutorState, Placement, PlacementRequest, Reason, names
from agentplane.placement.rank import score
from agentplane.policy import Policy
from agentplane.runs.model import Check

BY_BUNDLE: Final = "spec.executor.ref"
BY_CALLER: Final = "caller"
BY_DEFAULT: Final = "inventory default"
BY_SCORE: Final = "best score"


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate and what speaks against it."""

    candidate: Candidate
    against: tuple[Reason, ...]
    score: int | None  # None when it cannot

    @property
    def name(self) -> str:
        return self.candidate.name


def place(
    request: PlacementRequest, inventory: Inventory, executors: Iterable[ExecutorState], policy: Policy, now: datetime
) -> Placement:
    """Choose an executor for a run, or say why it waits.

    Args:
        request: what the run needs.
        inventory: what people declared.
        executors: what reported itself, in any order, each name once.
        policy: the control plane's.
        now: to tell a stale heartbeat; aware.
    """
    named, rule = _named(request)
    rows = _rows(request, inventory, executors, policy, now)
    rows = _prefer_ready(rows, named, prefer_healthy=inventory.prefer_healthy)
    able = [row for row in rows if row.score is not None and named in {None, row.name}]
    if not able:
        return _waiting(request, rows, named, rule, policy)
    chosen = min(able, key=_order)
    rule = BY_DEFAULT if named is None and chosen.candidate.is_default else rule
    return _placed(request, rows, chosen, rule, policy)


def _named(request: PlacementRequest) -> tuple[str | None, str]:
    if request.executor_ref is not None:
        return request.executor_ref, BY_BUNDLE
    return (request.wish, BY_CALLER) if request.wish is not None else (None, BY_SCORE)


def _rows(
    request: PlacementRequest, inventory: Inventory, executors: Iterable[ExecutorState], policy: Policy, now: datetime
) -> list[_Row]:
    states = {state.name: state for state in executors}
    everybody = {node.name for node in inventory.executors} | states.keys()
    named = {name for name in (request.executor_ref, request.wish) if name is not None}
    rows = []
    for name in sorted(everybody | named):
        candidate = Candidate(
            name=name,
            node=inventory.executor(name),
            state=states.get(name) or ExecutorState(name=name),
            policy=policy,
            require_enabled=inventory.require_enabled,
            is_default=name == inventory.default_executor,
            now=now,
        )
        against = reasons(candidate, request)
        rows.append(_Row(candidate=candidate, against=against, score=None if against else score(candidate, request)))
    return rows


def _prefer_ready(rows: list[_Row], named: str | None, *, prefer_healthy: bool) -> list[_Row]:
    """With `preferHealthy`, a degraded executor is out while a ready one that may be chosen can."""
    able = [row for row in rows if row.score is not None and named in {None, row.name}]
    ready = next((row.name for row in able if not degraded(row.candidate)), None)
    if not prefer_healthy or ready is None:
        return rows
    return [
        msgspec.structs.replace(row, against=(degraded_reason(ready),), score=None)
        if row.score is not None and degraded(row.candidate)
        else row
        for row in rows
    ]


def _order(row: _Row) -> tuple[int, str]:
    return (-(row.score if row.score is not None else -1), row.name)


def _placed(request: PlacementRequest, rows: list[_Row], chosen: _Row, rule: str, policy: Policy) -> Placement:
    node = chosen.candidate.node
    others = sorted((row for row in rows if row is not chosen), key=_order)
    return Placement(
        chosen=chosen.name,
        ssh_ref=node.ssh_ref if node else None,
        backend=chosen.candidate.usable(request)[0],
        rule=rule,
        requires_kvm=_requires_kvm(request, policy),
        caps=_caps(chosen.candidate),
        table=(_check(chosen, ()), *(_check(row, _passed_over(row, chosen, rule)) for row in others)),
        message=f"{chosen.name} by {rule}",
    )


def _waiting(request: PlacementRequest, rows: list[_Row], named: str | None, rule: str, policy: Policy) -> Placement:
    return Placement(
        chosen=None,
        ssh_ref=None,
        backend=None,
        rule=rule,
        requires_kvm=_requires_kvm(request, policy),
        caps={},
        table=tuple(_check(row, _not_asked(row, named, rule)) for row in sorted(rows, key=_order)),
        message=_why(rows, named, rule),
    )


def _why(rows: list[_Row], named: str | None, rule: str) -> str:
    if not rows:
        return "there is no executor: the inventory lists none and none has reported"
    if named is None:
        codes = sorted({reason.code for row in rows for reason in row.against})
        return f"none of {len(rows)} executors can take it: {names(codes)}"
    against = next(row.against for row in rows if row.name == named)
    words = "; ".join(str(reason) for reason in against)
    return f"{named} was named ({rule}) and cannot take it: {words}; it waits rather than go elsewhere"


def _passed_over(row: _Row, chosen: _Row, rule: str) -> tuple[Reason, ...]:
    if row.score is None:
        return ()
    if rule in {BY_BUNDLE, BY_CALLER}:
        return _not_asked(row, chosen.name, rule)
    words = f"score {row.score} against {chosen.score} of {chosen.name}"
    return (Reason("outranked", words, f"Name {row.name} in spec.executor.ref or with --executor."),)


def _not_asked(row: _Row, named: str | None, rule: str) -> tuple[Reason, ...]:
    if row.score is None or named is None:
        return ()
    return (Reason("not-named", f"{named} was named ({rule})", f"Name {row.name}, or nobody."),)


def _check(row: _Row, more: tuple[Reason, ...]) -> Check:
    said = (*row.against, *more)
    return Check(
        executor=row.name,
        feasible=row.score is not None,
        score=row.score,
        reasons=tuple(str(reason) for reason in said),
        remedies=tuple(dict.fromkeys(reason.remedy for reason in said)),
    )


def _requires_kvm(request: PlacementRequest, policy: Policy) -> bool:
    lane = policy.lane(request.lane)
    return lane is not None and lane.require_kvm


def _caps(candidate: Candidate) -> dict[str, Any]:
    facts = candidate.state.facts
    if facts is None:
        return {}
    return {
        "os": facts.os,
        "arch": facts.arch,
        "kvm": facts.kvm.usable,
        "kvmCause": facts.kvm.cause,
        "backends": list(facts.backends),
        "networks": list(facts.networks),
        "vcpus": facts.vcpus,
        "memoryMiB": facts.memory_mib,
        "diskMiB": facts.disk_mib,
        "trustZone": candidate.node.trust_zone if candidate.node else None,
    }
