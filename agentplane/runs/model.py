"""What a run is made of: the intent, its pins, and the facts of its stream. Pure.

`decided` of a fact says who decided it and by what (agentplane.controllers.recording); None: it was not written down.

Field names are snake_case here and camelCase on the wire (`rename="camel"`). Every `data` of an event is one of these.
"""

from typing import Any

import msgspec

from agentplane.runs.states import Outcome


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of all wire structs: strictly typed, camelCase, immutable.

    Fields that are not known are passed over, since a newer peer may write them; where one must not be overlooked
    (intents, questions) the door refuses it: `agentplane.events.codec.unknown_fields`.
    """


class StorePath(Wire, frozen=True, kw_only=True):
    """Content in the Nix store: what it is called and what it must hash to."""

    path: str  # /nix/store/<hash>-<name>
    nar_hash: str  # "sha256:<base32 or hex>", as `nix-store --query --hash` prints


class FileFact(Wire, frozen=True, kw_only=True):
    """A file of the bundle that a rule looks at, as the edge saw it."""

    path: str  # relative to the bundle's directory
    type: str  # "regular", "directory", "symlink", "other", "missing"
    executable: bool
    size_bytes: int


class Input(Wire, frozen=True, kw_only=True):
    """A named read-only tree for the guest, at /inputs/<name>."""

    name: str  # DNS label
    tree: StorePath


class Built(Wire, frozen=True, kw_only=True):
    """A guest of the bundle that somebody has built, signed and pushed: for one backend."""

    backend: str  # microvm, process
    spec: StorePath


class RunRequested(Wire, frozen=True, kw_only=True):
    """Intent `run.requested` on Run/<run name>: run this bundle."""

    bundle: dict[str, Any]  # the document as parsed; its canonical digest is the bundle digest
    bundle_path: str  # where its author had it; words only, never opened by a daemon
    source: StorePath  # the bundle's directory
    files: tuple[FileFact, ...]
    inputs: tuple[Input, ...] = ()
    executor: str | None = None  # the caller's wish; spec.executor.ref wins over it
    seed: str = "0"
    replay_of: str | None = None  # run name; the pins of that run replace all of the above
    built: tuple[Built, ...] | msgspec.UnsetType = msgspec.UNSET


class CancelRequested(Wire, frozen=True, kw_only=True):
    """Intent `run.cancel-requested`."""

    reason: str


class Resources(Wire, frozen=True, kw_only=True):
    """What a run takes of its executor."""

    vcpus: int
    memory_mib: int
    disk_mib: int


class Pins(Wire, frozen=True, kw_only=True):
    """Everything that determines a run. A replay uses the very same."""

    bundle: str  # "<name>@<version>"
    bundle_digest: str
    source: StorePath
    module: str  # path of the guest module inside source
    smoke: str  # path of the smoke script inside source
    inputs: tuple[Input, ...]
    backend_intent: str  # qemu, microvm, lima-process, fleet, agent-machine
    network_mode: str
    artifact_targets: tuple[str, ...]  # guest paths that lead to the artifact directory
    resources: Resources
    lane: str
    max_run_seconds: int
    fail_on_timeout: bool
    secrets: tuple[str, ...]  # names only
    secret_ref_root: str | None
    out_dir: str  # relative to the run's directory, normalised
    policy_digest: str
    seed: str
    clock_base: str  # RFC 3339; the guest's clock starts here
    # Not written where there are none, so that the digests of older pins stay what they were.
    built: tuple[Built, ...] | msgspec.UnsetType = msgspec.UNSET


class GuestPin(Wire, frozen=True, kw_only=True):
    """What the executor built or fetched for the pins: known once a run has started, and pinned for replays."""

    spec: StorePath
    kernel: str  # store path
    qemu: str  # version


class Check(Wire, frozen=True, kw_only=True):
    """One line of a placement table: an executor and why it can or cannot take the run."""

    executor: str
    feasible: bool
    score: int | None  # None when not feasible
    reasons: tuple[str, ...]  # "code: words"; empty for the chosen one
    remedies: tuple[str, ...]  # what would change the answer


class RunCreated(Wire, frozen=True, kw_only=True):
    """Fact `run.created`: admitted. `validation` is the signed ValidationArtifact statement (DSSE)."""

    pins: Pins
    bundle: dict[str, Any]
    bundle_path: str
    author: str
    validation: dict[str, Any]
    requested_executor: str | None = None
    replay_of: str | None = None
    replay_guest: GuestPin | None = None  # the guest the original ran, to be run again
    expected: "Expected | None" = None
    decided: dict[str, Any] | None = None


class RunRefused(Wire, frozen=True, kw_only=True):
    """Fact `run.refused`: not admitted; nothing else was created. `validation`: as in RunCreated; None for a replay."""

    code: str
    message: str
    findings: tuple[dict[str, Any], ...]
    validation: dict[str, Any] | None = None
    decided: dict[str, Any] | None = None


class RunWaiting(Wire, frozen=True, kw_only=True):
    """Fact `run.waiting`: for whom (`waiting_for_resource`, `waiting_for_human`) and why."""

    state: str
    message: str
    table: tuple[Check, ...] = ()
    decided: dict[str, Any] | None = None


class RunPlaced(Wire, frozen=True, kw_only=True):
    """Fact `run.placed`: leased to an executor under a new epoch. `decision` is the signed PlacementDecision (DSSE)."""

    executor: str
    ssh_ref: str
    epoch: int
    backend: str  # what it will run as: microvm, process
    table: tuple[Check, ...]
    decision: dict[str, Any]
    lease_seconds: int
    decided: dict[str, Any] | None = None


class ArtifactFact(Wire, frozen=True, kw_only=True):
    """A file that came out of a run."""

    path: str  # relative to out_dir
    sha256: str  # hex
    size_bytes: int


class Expected(Wire, frozen=True, kw_only=True):
    """What a replay must match."""

    run: str
    outcome: Outcome
    exit_code: int
    artifacts: tuple[ArtifactFact, ...]  # of the guest's making


class RunStarted(Wire, frozen=True, kw_only=True):
    """Fact `run.started`, from the executor's report."""

    executor: str
    epoch: int
    guest: GuestPin | None  # None for the process backend
    accelerator: str  # kvm, tcg, none


class RunFinished(Wire, frozen=True, kw_only=True):
    """Fact `run.finished`, from the executor's report. `exit_code` is 0..255, or -1 where there is none."""

    executor: str
    epoch: int
    outcome: Outcome
    succeeded: bool
    exit_code: int
    message: str
    artifacts: tuple[ArtifactFact, ...]
    run_dir: str  # on the executor's host
    out_dir: str  # absolute, on the executor's host
    wall_clock_ms: int
    replay: "ReplayVerdict | None" = None
    timings_ms: dict[str, int] = {}


class ReplayVerdict(Wire, frozen=True, kw_only=True):
    """How a replay compares with its original."""

    of: str
    match: bool
    differences: tuple[str, ...]  # "exit code: 0 became 3", "report.json: sha256 …"


class RunEvidence(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Fact `run.evidence`: one journal record of an executor is committed.

    `fenced`: it came from an epoch that had been replaced. `mark`: why it is kept and not believed: the key that signed
    it was revoked ("key-revoked") or rotated out ("key-expired") before it came.
    """

    executor: str
    index: int  # in the executor's journal
    kind: str  # the artifact's kind
    epoch: int
    envelope: dict[str, Any]  # DSSE
    fenced: bool
    decided: dict[str, Any] | None = None
    mark: str = ""


class LeaseExpired(Wire, frozen=True, kw_only=True):
    """Fact `run.lease-expired`."""

    executor: str
    epoch: int
    message: str
    decided: dict[str, Any] | None = None


class RunRequeued(Wire, frozen=True, kw_only=True):
    """Fact `run.requeued`: placed again under a higher epoch."""

    reason: str


class RunSuperseded(Wire, frozen=True, kw_only=True):
    """Fact `run.superseded`: cancelled before it ended."""

    reason: str
    by: str
