"""What a decision about a run went by, written beside it, so that it can be taken again years later. Pure.

Most of it is in the log already: the intent, the run's history, the time of the decision. The rest is

- the rules: policy, inventory and patience, one fact `rules.recorded` per tenant whenever they change;
- the fleet as placement saw it, and when an executor was last heard of, which only the deciding process knows: on the
  decision itself, in the field `decided`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agentplane.canonical import canonical_bytes, digest_bytes
from agentplane.controllers.records import ExecutorRecord
from agentplane.controllers.versions import version_of
from agentplane.enrolment.model import NONE, Enrolment
from agentplane.errors import Refused
from agentplane.events.codec import data_of
from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.fleet.inventory import Inventory
from agentplane.ids import foreseen_id
from agentplane.policy import Policy
from agentplane.runs.executors import ExecutorLeased
from agentplane.runs.model import Resources, Wire
from agentplane.runs.protocol import ExecutorFacts

RULES_RECORDED: Final = "rules.recorded"
RULES_KIND: Final = "Rules"
MAX_FLEET_BYTES: Final = 6 * 1024
_NOBODY: Final = "-"
_MICROSECOND: Final = timedelta(microseconds=1)


class Rules(Wire, frozen=True, kw_only=True):
    """Fact `rules.recorded`: what one tenant's decisions go by from now on. Other tenants' names are left out."""

    policy: dict[str, Any]
    inventory: dict[str, Any]
    lease_seconds: int
    start_grace_s: int
    run_grace_s: int
    controllers: dict[str, int]  # the versions of all controllers of this control plane, domains' included

    def digest(self) -> str:
        """What decisions refer to it by."""
        return digest_bytes(canonical_bytes(msgspec.to_builtins(self)))


class Seen(Wire, frozen=True, kw_only=True):
    """One executor as placement saw it; what it shares with others is said once, in Alike."""

    name: str
    heard_us: int | None  # microseconds since it was last heard of; None: not yet
    disk_mib: int = 0
    used: tuple[int, int, int] = (0, 0, 0)  # vcpus, MiB of memory, MiB of disk that runs hold
    fenced: str | None = None
    enrolment: dict[str, Any] | None = None


class Alike(Wire, frozen=True, kw_only=True):
    """Executors that report the same, but for the room on their disks."""

    facts: ExecutorFacts | None
    executors: tuple[Seen, ...]


class Decided(Wire, frozen=True, kw_only=True):
    """Who decided, and by what. `fleet` None with a digest: too large to be kept here."""

    controller: str
    version: int
    rules: str | None = None
    heard_us: int | None = None  # of the lease's executor
    fleet: tuple[Alike, ...] | None = None
    fleet_digest: str | None = None


def decided(controller: str, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - the fields of Decided
    """The field `decided` of a fact; what is not known is left out."""
    said = msgspec.to_builtins(Decided(controller=controller, version=version_of(controller), **inputs))
    return {name: value for name, value in said.items() if value is not None}


def read_decided(data: dict[str, Any]) -> Decided | None:
    """The field `decided` in a fact's data; None: there is none that can be read."""
    try:
        return msgspec.convert(data["decided"], Decided)
    except (KeyError, msgspec.ValidationError):
        return None


def rules_for(
    tenant: str, policy: Policy, inventory: Inventory, waits: tuple[int, int, int], controllers: dict[str, int]
) -> Rules:
    """The rules as one tenant may know them. `waits`: lease, start grace and run grace in seconds."""
    named = tuple(each for each in policy.tenants if each == tenant)
    own = replace(policy, tenants=named or (_NOBODY,)) if policy.tenants else policy
    lease_seconds, start_grace_s, run_grace_s = waits
    return Rules(
        policy=msgspec.to_builtins(own, order="deterministic"),
        inventory=msgspec.to_builtins(inventory, order="deterministic"),
        lease_seconds=lease_seconds,
        start_grace_s=start_grace_s,
        run_grace_s=run_grace_s,
        controllers=dict(sorted(controllers.items())),
    )


def record_rules(tenant: str, rules: Rules, now: datetime) -> Append:
    """The append that keeps rules; doing it again, anywhere, is doing it once."""
    digest = rules.digest()
    id_ = foreseen_id(f"rules/{tenant}/{digest}")  # rules are everybody's, so everybody knows their digest
    stream = StreamId(tenant, RULES_KIND, "default", digest.removeprefix("sha256:")[:12])
    event = Event(
        id=id_,
        stream=stream,
        phase=Phase.FACT,
        type=RULES_RECORDED,
        actor="controller:rules",
        time=now,
        correlation_id=id_,
        data=data_of(rules),
    )
    return Append(stream=stream, expected_version=None, events=(event,))


def read_rules(rules: Rules) -> tuple[Policy, Inventory]:
    """Policy and inventory as they were. Raises Refused, code `rules.unreadable`."""
    try:
        return msgspec.convert(rules.policy, Policy), msgspec.convert(rules.inventory, Inventory)
    except msgspec.ValidationError as exc:
        raise Refused(f"recorded rules cannot be read: {exc}", code="rules.unreadable") from exc


def fleet_inputs(
    executors: Iterable[ExecutorRecord], heard: Callable[[str], datetime | None], now: datetime
) -> dict[str, Any]:
    """The fields `fleet` or `fleet_digest` of Decided."""
    groups: defaultdict[bytes, list[Seen]] = defaultdict(list)
    facts: dict[bytes, ExecutorFacts | None] = {}
    for executor in executors:
        shared = None if executor.facts is None else replace(executor.facts, disk_mib=0, versions={})
        key = msgspec.json.encode(shared)
        facts[key] = shared
        groups[key].append(_seen(executor, heard(executor.name), now))
    fleet = tuple(Alike(facts=facts[key], executors=tuple(seen)) for key, seen in groups.items())
    data = canonical_bytes(msgspec.to_builtins(fleet))
    return {"fleet": fleet} if len(data) <= MAX_FLEET_BYTES else {"fleet_digest": digest_bytes(data)}


def age_us(heard: datetime | None, now: datetime) -> int | None:
    """How long ago, in microseconds."""
    return None if heard is None else (now - heard) // _MICROSECOND


def moment(heard_us: int | None, now: datetime) -> datetime | None:
    """The inverse of `age_us`."""
    return None if heard_us is None else now - heard_us * _MICROSECOND


def records_of(fleet: Iterable[Alike]) -> tuple[ExecutorRecord, ...]:
    """The executors of a recorded fleet, each with one lease for all that it held."""
    return tuple(_record(alike.facts, seen) for alike in fleet for seen in alike.executors)


def _seen(executor: ExecutorRecord, heard: datetime | None, now: datetime) -> Seen:
    held = [lease.resources for lease in executor.leases]
    known = replace(executor.enrolment, keys=(), pending=(), tokens=(), rotation=None)
    return Seen(
        name=executor.name,
        heard_us=age_us(heard, now),
        disk_mib=executor.facts.disk_mib if executor.facts else 0,
        used=(sum(each.vcpus for each in held), sum(each.memory_mib for each in held), sum(e.disk_mib for e in held)),
        fenced=executor.fenced,
        enrolment=None if known == NONE else msgspec.to_builtins(known),
    )


def _record(facts: ExecutorFacts | None, seen: Seen) -> ExecutorRecord:
    vcpus, memory_mib, disk_mib = seen.used
    held = Resources(vcpus=vcpus, memory_mib=memory_mib, disk_mib=disk_mib)
    lease = ExecutorLeased(tenant="", run="", epoch=0, backend="", resources=held)
    return ExecutorRecord(
        name=seen.name,
        key_id=_NOBODY,  # it was registered, or it would not have been seen
        facts=None if facts is None else replace(facts, disk_mib=seen.disk_mib),
        leases=(lease,),
        fenced=seen.fenced,
        enrolment=NONE if seen.enrolment is None else msgspec.convert(seen.enrolment, Enrolment),
    )
