"""What travels from an importer to control, and what control says of it. Pure.

A `Line` is one line of any format, read and under today's names. Control gives it its tenant, id and stream
(agentplane.imports.shaping); nothing a line says of itself is an authority.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from agentplane.events.model import Phase, StreamId
from agentplane.runs.model import Wire

IMPORT_REQUESTED: Final = "event.import-requested"
IMPORTED: Final = "event.imported"
KIND: Final = "Import"
MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 640 * 1024  # well below what one message may hold; one line may be larger
MAX_REPORTED: Final = 100


class Line(Wire, frozen=True, kw_only=True):
    """One event as its source tells it. `kind`, `name` None: the source has no such words."""

    number: int  # of the line in its file, from 1
    id: str
    type: str
    type_version: int = 1
    phase: Phase = Phase.FACT
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    actor: str
    time: datetime
    correlation: str | None = None
    cause: str | None = None
    sequence: int | None = None  # where an export of ours had it
    alias: str | None = None  # the id that an export of ours had for it, where `id` is its source's
    data: dict[str, Any]


class ImportRequested(Wire, frozen=True, kw_only=True):
    """Intent `event.import-requested`: a batch of lines in the order in which they are to be stored."""

    lines: tuple[Line, ...]
    batch: int = 1
    source: str = ""  # what the file is called, for people
    skip: bool = False  # store the others when one cannot be; False: all or nothing of the batch
    strict: bool = False  # recorded by hand: what the catalogue's families do not have, or declare, is refused


class RefusedLine(Wire, frozen=True, kw_only=True):
    """A line that was not stored, and why; never with a value out of it."""

    number: int
    code: str
    message: str


class EventsImported(Wire, frozen=True, kw_only=True):
    """Fact `event.imported`: what became of a batch."""

    batch: int
    source: str
    stored: int
    duplicates: int
    refused: int
    reasons: tuple[RefusedLine, ...] = ()  # at most 100


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the tenant's log has under an id: enough to tell the same event from another one."""

    digest: bytes
    stream: StreamId
    phase: Phase
    type_version: int


def import_stream(tenant: str, import_hex: str) -> StreamId:
    """The stream on which one import's batches are reported."""
    return StreamId(tenant=tenant, kind=KIND, namespace="default", name=f"import-{import_hex[:12]}")
