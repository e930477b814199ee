"""One row per signed envelope of a run, in the order in which they were committed. Pure.

The envelopes of the control plane ride on the facts they justify (run.created, run.refused, run.placed), those of
executors on `run.evidence`.
"""

from typing import Any, Final

from msgspec.structs import replace

from agentplane.canonical import digest_bytes
from agentplane.events.codec import payload
from agentplane.events.digest import encode_data
from agentplane.events.model import StoredEvent
from agentplane.events.origin import is_imported
from agentplane.runs import facts
from agentplane.runs.model import RunCreated, RunEvidence, RunPlaced, RunRefused, Wire

_CONTROL: Final = "control"


class EvidenceRow(Wire, frozen=True, kw_only=True):
    """An envelope and where it came from."""

    tenant: str
    run: str
    sequence: int  # of the event that brought it: its order within the run
    source: str  # "control" or an executor's name
    index: int | None  # in the executor's journal; None: the control plane's
    kind: str
    epoch: int
    fenced: bool  # from an epoch that had been replaced
    mark: str = ""  # why it is not believed: "key-revoked", "key-expired"
    digest: str  # of the envelope's canonical bytes
    envelope: dict[str, Any]  # DSSE


def key(stored: StoredEvent) -> tuple[str, ...] | None:
    """(tenant, run, sequence) of an event that brings an envelope; None for every other event."""
    stream = stored.event.stream
    if stream.kind != facts.RUN_KIND or stored.event.type not in _CARRIERS or is_imported(stream):
        return None
    return (stream.tenant, stream.name, f"{stored.sequence:019d}")


def apply(view: EvidenceRow | None, stored: StoredEvent) -> EvidenceRow | None:
    """The row that an event brings; None when it brings no envelope.

    Raises:
        Refused: code `event.payload`: a known type whose data cannot be read.
    """
    if key(stored) is None:
        return view
    match stored.event.type:
        case facts.CREATED:
            return _of_control(stored, "ValidationArtifact", 0, payload(stored.event, RunCreated).validation)
        case facts.REFUSED:
            return _of_control(stored, "ValidationArtifact", 0, payload(stored.event, RunRefused).validation)
        case facts.PLACED:
            placed = payload(stored.event, RunPlaced)
            return _of_control(stored, "PlacementDecision", placed.epoch, placed.decision)
        case _:
            said = payload(stored.event, RunEvidence)
            row = _row(stored, said.envelope, (said.executor, said.index, said.kind, said.epoch, said.fenced))
            return replace(row, mark=said.mark)


def _of_control(stored: StoredEvent, kind: str, epoch: int, envelope: dict[str, Any] | None) -> EvidenceRow | None:
    return None if envelope is None else _row(stored, envelope, (_CONTROL, None, kind, epoch, False))


def _row(stored: StoredEvent, envelope: dict[str, Any], origin: tuple[str, int | None, str, int, bool]) -> EvidenceRow:
    source, index, kind, epoch, fenced = origin
    stream = stored.event.stream
    return EvidenceRow(
        tenant=stream.tenant,
        run=stream.name,
        sequence=stored.sequence,
        source=source,
        index=index,
        kind=kind,
        epoch=epoch,
        fenced=fenced,
        digest=digest_bytes(encode_data(envelope)),
        envelope=envelope,
    )


_CARRIERS: Final = frozenset({facts.CREATED, facts.REFUSED, facts.PLACED, facts.EVIDENCE})
