"""Rows as PostgreSQL's binary COPY wants them. Pure.

Source: PostgreSQL manual, COPY, "Binary Format": a signature, then per row a 16-bit count of fields and per field a
32-bit length (-1: NULL) and its bytes in network order; a count of -1 ends. Timestamps are microseconds since 2000.
Written by hand because a general adapter spends half of an append's time on looking up the types of 17 columns.

What the place in the log decides comes first in a row (`agentplane.store.sql.COPY` names the columns so); all that
follows, the tail, is known before the row's turn comes.
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from agentplane.events.model import Event, Phase, StreamId
from agentplane.store.entry import Entry

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
END: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
FIELDS: Final = 17
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# a row's first fields: their count, sequence, stream version and time of recording, each after its length
_PLACE: Final = struct.Struct("!hiqiqiq").pack
_ID: Final = struct.Struct("!i16s").pack
_TIME: Final = struct.Struct("!iqi16s").pack
_BODY: Final = struct.Struct("!i").pack
_DIGEST: Final = struct.Struct("!i32s").pack
_BIGINT: Final = struct.Struct("!q").pack
_INTEGER: Final = struct.Struct("!i").pack


def tail(event: Event, names: bytes, data: bytes, digest: bytes) -> bytes:
    """A row but for its place. `names`: of `named`; `data`: canonical JSON; `digest`: 32 bytes."""
    causation = event.causation_id
    return b"".join(
        (
            _ID(16, event.id.bytes),
            names,
            _TIME(8, microseconds(event.time), 16, event.correlation_id.bytes),
            NULL if causation is None else _ID(16, causation.bytes),
            _BODY(len(data)),
            data,
            _DIGEST(32, digest),
        )
    )


def named(stream: StreamId, phase: Phase, type_: str, type_version: int, actor: str) -> bytes:
    """The fields of a row that are the same for many events."""
    values = (*_stream_values(stream), *_kind_values(phase, type_, type_version, actor))
    return b"".join([_BODY(len(value)) + value for value in values])


def place(sequence: int, stream_version: int, recorded_us: int) -> bytes:
    """A row's beginning. `recorded_us`: `microseconds` of when it is recorded."""
    return _PLACE(FIELDS, 8, sequence, 8, stream_version, 8, recorded_us)


def framed(parts: Iterable[bytes]) -> bytes:
    """Rows as one COPY."""
    return b"".join((SIGNATURE, *parts, END))


def copy_rows(entries: Iterable[Entry]) -> bytes:
    """Rows as one COPY, in the order of the columns of `agentplane.store.sql.COPY`."""
    parts: list[bytes] = []
    recorded_at, recorded = None, 0
    for entry in entries:
        stored = entry.stored
        if stored.recorded_at is not recorded_at:
            recorded_at, recorded = stored.recorded_at, microseconds(stored.recorded_at)
        parts.append(place(stored.sequence, stored.stream_version, recorded))
        parts.append(entry.tail)
    return framed(parts)


def values(entry: Entry) -> list[bytes | None]:
    """A row's fields for `agentplane.store.sql.INSERT`, in binary form and in the same order."""
    stored, event = entry.stored, entry.stored.event
    causation = event.causation_id
    return [
        _BIGINT(stored.sequence),
        _BIGINT(stored.stream_version),
        _BIGINT(microseconds(stored.recorded_at)),
        event.id.bytes,
        *_stream_values(event.stream),
        *_kind_values(event.phase, event.type, event.type_version, event.actor),
        _BIGINT(microseconds(event.time)),
        event.correlation_id.bytes,
        None if causation is None else causation.bytes,
        entry.data,
        entry.digest,
    ]


def microseconds(moment: datetime) -> int:
    """Since 2000, as PostgreSQL counts."""
    return (moment - EPOCH) // _MICROSECOND


@lru_cache(maxsize=8192)
def _stream_values(stream: StreamId) -> tuple[bytes, ...]:
    return (stream.tenant.encode(), stream.kind.encode(), stream.namespace.encode(), stream.name.encode())


@lru_cache(maxsize=8192)
def _kind_values(phase: Phase, type_: str, type_version: int, actor: str) -> tuple[bytes, ...]:
    return (phase.value.encode(), type_.encode(), _INTEGER(type_version), actor.encode())
