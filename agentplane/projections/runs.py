"""Folding a run's facts into its view: (view, event) -> view. Pure.

An event of a type that is not known here is counted and otherwise ignored; one of a known type that cannot be read
stops the projection (Refused `event.payload`), because every view after it would be wrong.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from agentplane.events.codec import payload
from agentplane.events.model import Event, StoredEvent
from agentplane.events.origin import is_imported
from agentplane.intents import runs as intents
from agentplane.projections.run_view import RunView, Timeline, TimelineEntry
from agentplane.runs import facts, model
from agentplane.runs.facts import RUN_KIND, RunQuarantined
from agentplane.runs.states import Outcome, RunState

TIMELINE_HALF: Final = 200  # entries kept at either end
_SUMMARY_CHARS: Final = 300

Step = Callable[[RunView, StoredEvent], tuple[RunView, str]]


def key(stored: StoredEvent) -> tuple[str, ...] | None:
    """(tenant, run) of an event on the stream of a run of ours; None for every other event."""
    stream = stored.event.stream
    return (stream.tenant, stream.name) if stream.kind == RUN_KIND and not is_imported(stream) else None


def apply(view: RunView | None, stored: StoredEvent) -> RunView | None:
    """The view after one more event; None while the stream is not a run's.

    Raises:
        Refused: code `event.payload`: a known type whose data cannot be read.
    """
    if key(stored) is None:
        return view
    event = stored.event
    known = view or _first(stored)
    step = _STEPS.get(event.type)
    if step is None:
        changed, summary = replace(known, unknown_events=known.unknown_events + 1), "a kind of event not known here"
    else:
        changed, summary = step(known, stored)
    return replace(
        changed,
        timeline=_noted(known.timeline, stored, summary),
        last_sequence=stored.sequence,
    )


def _first(stored: StoredEvent) -> RunView:
    stream = stored.event.stream
    return RunView(
        tenant=stream.tenant,
        name=stream.name,
        correlation_id=str(stored.event.correlation_id),
        first_sequence=stored.sequence,
    )


def _noted(timeline: Timeline, stored: StoredEvent, summary: str) -> Timeline:
    entry = TimelineEntry(
        sequence=stored.sequence,
        recorded_at=stored.recorded_at,
        type=stored.event.type,
        summary=summary[:_SUMMARY_CHARS],
    )
    if len(timeline.first) < TIMELINE_HALF:
        return replace(timeline, first=(*timeline.first, entry))
    if len(timeline.last) < TIMELINE_HALF:
        return replace(timeline, last=(*timeline.last, entry))
    return replace(timeline, last=(*timeline.last[1:], entry), skipped=timeline.skipped + 1)


def _requested(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    data, author = stored.event.data, stored.event.actor
    bundle = _bundle_name(data.get("bundle"))
    if view.pins is not None:  # the fact came first, or the wish was repeated
        return view, f"wished for by {author}"
    replay_of = data.get("replayOf")
    changed = replace(view, author=author, bundle=bundle, bundle_path=str(data.get("bundlePath") or ""))
    if isinstance(replay_of, str):
        return replace(changed, replay_of=replay_of), f"{author} asks to replay {replay_of}"
    return changed, f"{author} asks to run {bundle or 'a bundle'}"


def _bundle_name(document: Any) -> str:  # noqa: ANN401 - a document that nobody has validated yet
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        return ""
    name, version = metadata.get("name"), metadata.get("version")
    return f"{name}@{version}"[:200] if isinstance(name, str) and isinstance(version, str) else ""


def _created(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    created = payload(stored.event, model.RunCreated)
    pins = created.pins
    changed = replace(
        _counted(view, "ValidationArtifact"),
        state=RunState.CREATED,
        bundle=pins.bundle,
        bundle_path=created.bundle_path,
        lane=pins.lane,
        author=created.author,
        pins=pins,
        requested_executor=created.requested_executor,
        replay_of=created.replay_of,
        guest=created.replay_guest,
        created_at=stored.recorded_at,
    )
    return changed, f"{pins.bundle} admitted to lane {pins.lane}"


def _refused(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    refused = payload(stored.event, model.RunRefused)
    counted = _counted(view, "ValidationArtifact") if refused.validation is not None else view
    changed = replace(
        counted,
        state=RunState.FAILED,
        code=refused.code,
        message=refused.message,
        findings=refused.findings,
        finished_at=stored.recorded_at,
    )
    return changed, f"refused: {refused.message}"


def _queued(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    queued_at = view.queued_at or stored.recorded_at
    return replace(view, state=RunState.QUEUED, message="", queued_at=queued_at), "waits to be placed"


def _waiting(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    waiting = payload(stored.event, model.RunWaiting)
    state = _state(waiting.state, stored.event)
    changed = replace(view, state=state, message=waiting.message, placement=waiting.table or view.placement)
    return changed, f"{waiting.state.replace('_', ' ')}: {waiting.message}"


def _state(word: str, event: Event) -> RunState:
    return payload(replace(event, data={"state": word}), _StateWord).state


class _StateWord(model.Wire, frozen=True, kw_only=True):
    state: RunState


def _placed(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    placed = payload(stored.event, model.RunPlaced)
    changed = replace(
        _counted(view, "PlacementDecision"),
        state=RunState.LEASED,
        message="",
        executor=placed.executor,
        epoch=placed.epoch,
        backend=placed.backend,
        placement=placed.table,
        placed_at=stored.recorded_at,
        started_at=None,
    )
    return changed, f"placed on {placed.executor} as {placed.backend}, epoch {placed.epoch}"


def _started(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    started = payload(stored.event, model.RunStarted)
    changed = replace(
        view,
        state=RunState.RUNNING,
        guest=started.guest or view.guest,
        accelerator=started.accelerator,
        started_at=stored.recorded_at,
    )
    return changed, f"runs on {started.executor} ({started.accelerator})"


def _finished(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    finished = payload(stored.event, model.RunFinished)
    state = RunState.SUCCEEDED if finished.succeeded else RunState.FAILED
    if finished.outcome is Outcome.CANCELLED:
        state = RunState.SUPERSEDED
    changed = replace(
        view,
        state=state,
        message=finished.message,
        outcome=finished.outcome,
        exit_code=finished.exit_code,
        wall_clock_ms=finished.wall_clock_ms,
        timings_ms=finished.timings_ms,
        artifacts=finished.artifacts,
        run_dir=finished.run_dir,
        out_dir=finished.out_dir,
        replay=finished.replay,
        finished_at=stored.recorded_at,
    )
    verdict = "" if finished.replay is None else (", MATCH" if finished.replay.match else ", DIVERGED")
    return changed, f"{state}: {finished.outcome}, exit code {finished.exit_code}{verdict}"


def _evidence(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    evidence = payload(stored.event, model.RunEvidence)
    counted = _counted(view, evidence.kind)
    words = f"{evidence.kind} of {evidence.executor} committed, journal record {evidence.index}"
    if evidence.fenced:
        return replace(counted, fenced=view.fenced + 1), f"{words}; of replaced epoch {evidence.epoch}"
    return counted, words


def _lease_expired(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    expired = payload(stored.event, model.LeaseExpired)
    return replace(view, message=expired.message, started_at=None), f"lease of {expired.executor}: {expired.message}"


def _requeued(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    reason = payload(stored.event, model.RunRequeued).reason
    changed = replace(
        view, state=RunState.REQUEUED, message=reason, requeues=view.requeues + 1, executor=None, started_at=None
    )
    return changed, f"queued again: {reason}"


def _superseded(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    superseded = payload(stored.event, model.RunSuperseded)
    finished_at = view.finished_at or stored.recorded_at
    changed = replace(view, state=RunState.SUPERSEDED, message=superseded.reason, finished_at=finished_at)
    return changed, f"cancelled by {superseded.by}: {superseded.reason}"


def _quarantined(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    said = payload(stored.event, RunQuarantined)
    changed = replace(
        view, state=RunState.QUARANTINED, code=said.code, message=said.message, finished_at=stored.recorded_at
    )
    return changed, f"quarantined, {said.code}: {said.message}"


def _cancel_requested(view: RunView, stored: StoredEvent) -> tuple[RunView, str]:
    reason = payload(stored.event, model.CancelRequested).reason
    actor = stored.event.actor
    return replace(view, cancel_requested_by=view.cancel_requested_by or actor), f"{actor} asks to cancel: {reason}"


def _counted(view: RunView, kind: str) -> RunView:
    return replace(view, evidence={**view.evidence, kind: view.evidence.get(kind, 0) + 1})


_STEPS: Final[dict[str, Step]] = {
    intents.REQUESTED: _requested,
    intents.CANCEL_REQUESTED: _cancel_requested,
    facts.CREATED: _created,
    facts.REFUSED: _refused,
    facts.QUEUED: _queued,
    facts.WAITING: _waiting,
    facts.PLACED: _placed,
    facts.STARTED: _started,
    facts.FINISHED: _finished,
    facts.EVIDENCE: _evidence,
    facts.LEASE_EXPIRED: _lease_expired,
    facts.REQUEUED: _requeued,
    facts.SUPERSEDED: _superseded,
    facts.QUARANTINED: _quarantined,
}
