"""What people see of a run: all that `get`, `explain` and `timeline` need, in one document. Pure."""

from datetime import datetime
from typing import Any

import msgspec

from agentplane.runs.model import ArtifactFact, Check, GuestPin, Pins, ReplayVerdict, Wire
from agentplane.runs.states import Outcome, RunState


class TimelineEntry(Wire, frozen=True, kw_only=True):
    """One event of the run, in words."""

    sequence: int
    recorded_at: datetime
    type: str
    summary: str


class Timeline(Wire, frozen=True, kw_only=True):
    """The first and the last events of a run; `skipped` are the ones between that are only counted."""

    first: tuple[TimelineEntry, ...] = ()
    last: tuple[TimelineEntry, ...] = ()
    skipped: int = 0


class RunView(Wire, frozen=True, kw_only=True):
    """A run as of `last_sequence`. None: not known (yet). Times are when the control plane recorded the fact."""

    tenant: str
    name: str
    state: RunState = RunState.CREATED
    message: str = ""  # why it is where it is
    code: str | None = None  # of a refusal or a quarantine
    findings: tuple[dict[str, Any], ...] = ()

    bundle: str = ""  # "<name>@<version>"
    bundle_path: str = ""
    lane: str | None = None
    author: str | None = None
    pins: Pins | None = None
    requested_executor: str | None = None
    correlation_id: str

    executor: str | None = None  # of the newest attempt
    epoch: int = 0
    backend: str | None = None
    accelerator: str | None = None
    guest: GuestPin | None = None
    placement: tuple[Check, ...] = ()
    requeues: int = 0
    cancel_requested_by: str | None = None

    created_at: datetime | None = None
    queued_at: datetime | None = None
    placed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None  # also of one that was refused or superseded

    outcome: Outcome | None = None
    exit_code: int | None = None
    wall_clock_ms: int | None = None
    timings_ms: dict[str, int] = msgspec.field(default_factory=dict)
    artifacts: tuple[ArtifactFact, ...] = ()
    run_dir: str | None = None
    out_dir: str | None = None
    replay_of: str | None = None
    replay: ReplayVerdict | None = None

    evidence: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # envelopes by kind, those of replaced epochs included
    fenced: int = 0  # of them, from replaced epochs
    timeline: Timeline = Timeline()
    unknown_events: int = 0  # of types that this version does not know
    first_sequence: int = 0
    last_sequence: int = 0


class RunSummary(Wire, frozen=True, kw_only=True):
    """A line of a list of runs."""

    name: str
    state: RunState
    bundle: str
    lane: str | None
    author: str | None
    executor: str | None
    backend: str | None
    outcome: Outcome | None
    exit_code: int | None
    replay_of: str | None
    message: str
    created_at: datetime | None
    finished_at: datetime | None
    first_sequence: int
    last_sequence: int


def summary_of(view: RunView) -> RunSummary:
    """The line of a run."""
    return RunSummary(**{name: getattr(view, name) for name in RunSummary.__struct_fields__})


def entries(timeline: Timeline) -> tuple[TimelineEntry, ...]:
    """All entries that are kept, in order."""
    return (*timeline.first, *timeline.last)
