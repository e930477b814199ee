"""Messages between control and executors.

Level-triggered: every heartbeat's answer says all that the executor should be doing.

executor -> control   HeartbeatRequest (request-reply, `subjects.heartbeat`)
control  -> executor  HeartbeatReply: all leases, their assignments, cancellations, how much of the journal is committed
executor -> control   one DSSE envelope per journal record (JetStream, `subjects.report`), kept until committed

Losing any of these costs time, never truth: the next heartbeat repeats it.
"""

from datetime import datetime
from typing import Any, Final

from agentplane.runs.model import Expected, GuestPin, Pins, Wire

# Well below the bus's max_payload (agentplane.bus.accounts). One assignment is always below it: its parts are events.
MAX_REPLY_BYTES: Final = 2 << 20
MAX_REASON: Final = 500  # characters of a cancellation's reason; the whole one is in the log


class Acceleration(Wire, frozen=True, kw_only=True):
    """Whether a real guest kernel boots under KVM here: probed, not declared."""

    usable: bool
    cause: str  # "ok", "absent: …", "hang: …", "abort: …"


class ExecutorFacts(Wire, frozen=True, kw_only=True):
    """What an executor reports of itself. The inventory says what it is allowed; placement joins the two."""

    os: str
    arch: str
    backends: tuple[str, ...]  # microvm, process, qemu
    networks: tuple[str, ...]  # "none"
    kvm: Acceleration
    vcpus: int
    memory_mib: int
    disk_mib: int
    secrets: tuple[str, ...]  # names it can deliver
    draining: bool
    versions: dict[str, str]


class ActiveRun(Wire, frozen=True, kw_only=True):
    """A lease that the executor holds."""

    run: str
    tenant: str
    epoch: int


class HeartbeatRequest(Wire, frozen=True, kw_only=True):
    """I am alive, this is me, this is what I hold."""

    executor: str
    key_id: str  # sha256 of the public key, hex
    boot_id: str
    facts: ExecutorFacts
    active: tuple[ActiveRun, ...]
    journal_index: int  # last record of its journal; 0: empty
    journal_digest: str  # of that record
    clock: datetime | None = None  # the host's, when this was said; None: an older executor


class Assignment(Wire, frozen=True, kw_only=True):
    """Run this, under this epoch."""

    tenant: str
    run: str
    epoch: int
    backend: str
    pins: Pins
    bundle: dict[str, Any]
    bundle_path: str
    statements: tuple[dict[str, Any], ...]  # DSSE of Validation and PlacementDecision, written beside our own
    lease_seconds: int
    correlation_id: str
    replay_guest: GuestPin | None = None
    expected: Expected | None = None


class Cancellation(Wire, frozen=True, kw_only=True):
    """Stop this run; the epoch is no longer yours, or a person asked."""

    run: str
    tenant: str
    epoch: int
    reason: str


class HeartbeatReply(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """All that the executor should be doing, and what it may forget.

    Defaults are not written: an older executor knows only what it was ever told.
    """

    accepted: bool
    message: str  # why not accepted: unknown executor, wrong key, disabled
    assignments: tuple[Assignment, ...]  # of the leases, those that are not running there first; as many as fit
    cancellations: tuple[Cancellation, ...]
    committed_index: int  # journal records up to here are committed in PostgreSQL
    heartbeat_seconds: int
    leases: tuple[ActiveRun, ...] = ()  # all that it holds, whether or not the assignment fits this answer
    code: str = ""  # why not accepted, stable: "executor.revoked"
    rotate: bool = False  # make new keys and announce them
