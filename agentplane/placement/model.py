"""The words of placement. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

import msgspec

from agentplane.fleet.inventory import Node
from agentplane.policy import Backend, LanePolicy, Policy
from agentplane.runs.model import Check, Pins, Resources
from agentplane.runs.protocol import ExecutorFacts


class PlacementRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks of its executor."""

    backend_intent: str
    network_mode: str
    resources: Resources
    lane: str
    secrets: tuple[str, ...] = ()
    arch: str | None = None  # None: any (a replay of a pinned guest is bound to one)
    executor_ref: str | None = None  # the bundle's spec.executor.ref
    wish: str | None = None  # the caller's
    excluded: tuple[str, ...] = ()  # executors on which an earlier epoch of this run was lost

    @classmethod
    def of(
        cls,
        pins: Pins,
        *,
        executor_ref: str | None = None,
        wish: str | None = None,
        excluded: tuple[str, ...] = (),
        arch: str | None = None,
    ) -> Self:
        """The request of pinned work."""
        return cls(
            backend_intent=pins.backend_intent,
            network_mode=pins.network_mode,
            resources=pins.resources,
            lane=pins.lane,
            secrets=pins.secrets,
            arch=arch,
            executor_ref=executor_ref,
            wish=wish,
            excluded=excluded,
        )


class ExecutorState(msgspec.Struct, frozen=True, kw_only=True):
    """An executor as control knows it."""

    name: str
    facts: ExecutorFacts | None = None  # None: it never reported
    last_seen: datetime | None = None  # None: not heard of since control started
    leases: tuple[Resources, ...] = ()  # what runs hold of it
    left: tuple[str, str] | None = None  # ("revoked", words) or ("retired", words); None: it is ours
    drain: str | None = None  # since when and by whom; None: nobody drains it
    clock: str | None = None  # how far it is off; None: near enough
    fenced: str | None = None  # why its word is not taken (wrong key, evidence that does not verify); None: it is

    @property
    def used(self) -> Resources:
        """What its leases take, together."""
        return Resources(
            vcpus=sum(lease.vcpus for lease in self.leases),
            memory_mib=sum(lease.memory_mib for lease in self.leases),
            disk_mib=sum(lease.disk_mib for lease in self.leases),
        )


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An executor from both sides: as declared and as reported, and the moment of asking."""

    name: str
    node: Node | None  # None: not in the inventory
    state: ExecutorState
    policy: Policy
    require_enabled: bool
    is_default: bool
    now: datetime

    def lane(self, request: PlacementRequest) -> LanePolicy | None:
        """The policy of the request's lane."""
        return self.policy.lane(request.lane)

    def served(self, request: PlacementRequest) -> tuple[Backend, ...]:
        """Backends that policy, inventory and the executor itself agree on, best first; KVM is not asked here."""
        facts, allowed = self.state.facts, self.node.backends if self.node else frozenset[str]()
        return tuple(
            backend
            for backend in self.policy.backends(request.backend_intent, request.lane)
            if facts is not None and backend in facts.backends and (allowed is None or backend in allowed)
        )

    def usable(self, request: PlacementRequest) -> tuple[Backend, ...]:
        """`served`, without virtual machines where the lane demands a KVM that does not work here."""
        facts, lane = self.state.facts, self.lane(request)
        if facts is None or facts.kvm.usable or lane is None or not lane.require_kvm:
            return self.served(request)
        return tuple(backend for backend in self.served(request) if backend == "process")


class Reason(msgspec.Struct, frozen=True):
    """Why an executor cannot, or why it was not chosen, and what would change that."""

    code: str
    words: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code}: {self.words}"


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `chosen` None: it waits, and `message` says for what."""

    chosen: str | None
    ssh_ref: str | None
    backend: Backend | None  # what it will run as
    rule: str  # "spec.executor.ref", "caller", "inventory default" or "best score"
    requires_kvm: bool
    caps: dict[str, Any]  # of the chosen one, as reported and probed
    table: tuple[Check, ...]  # every executor, the chosen one first, then by score and name
    message: str


def free(state: ExecutorState) -> Resources:
    """What an executor has left; never less than nothing."""
    facts, used = state.facts, state.used
    if facts is None:
        return Resources(vcpus=0, memory_mib=0, disk_mib=0)
    return Resources(
        vcpus=max(0, facts.vcpus - used.vcpus),
        memory_mib=max(0, facts.memory_mib - used.memory_mib),
        disk_mib=max(0, facts.disk_mib - used.disk_mib),
    )


def names(items: Sequence[str]) -> str:
    """Words in a sentence; "none" for nothing."""
    return ", ".join(items) if items else "none"
