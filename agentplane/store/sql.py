"""Every statement of the log, named. Columns are listed once, and rows become events in one place.

Only literals are spliced (`LiteralString`): mypy refuses anything else.
"""
# ruff: noqa: S608

from typing import Any, Final, LiteralString

import orjson

from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.store.entry import Entry

CHANNEL: Final = "agentplane_log"

_EVENT: Final[LiteralString] = (
    "sequence, id, tenant, kind, namespace, name, stream_version, phase, type, type_version, actor, time, recorded_at, "
    "correlation_id, causation_id, data"
)

# waits for the append lock and answers where the log ends
ENTER: Final[LiteralString] = "SELECT sequence, recorded_at FROM log.enter()"
HEAD: Final[LiteralString] = "SELECT coalesce(max(sequence), 0) FROM log.events"

# the versions of many streams, in the order of the four arrays
VERSIONS: Final[LiteralString] = """
    SELECT coalesce(last.stream_version, 0)
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
        WITH ORDINALITY AS asked (tenant, kind, namespace, name, place)
    LEFT JOIN LATERAL (
        SELECT stream_version FROM log.events e
        WHERE (e.tenant, e.kind, e.namespace, e.name) = (asked.tenant, asked.kind, asked.namespace, asked.name)
        ORDER BY stream_version DESC LIMIT 1
    ) last ON true
    ORDER BY place"""

KNOWN: Final[LiteralString] = f"SELECT {_EVENT}, digest FROM log.events WHERE id = ANY(%s)"
# for whoever reads all of it: a backup's restore
WHOLE_LOG: Final[LiteralString] = f"SELECT {_EVENT}, digest FROM log.events ORDER BY sequence"
DIGESTS: Final[LiteralString] = "SELECT sequence, type, digest FROM log.events ORDER BY sequence"
# what is written, in the order of agentplane.store.rows: first what the place in the log decides
_WRITTEN: Final[LiteralString] = (
    "sequence, stream_version, recorded_at, id, tenant, kind, namespace, name, phase, type, type_version, actor, time, "
    "correlation_id, causation_id, data, digest"
)
INSERT: Final[LiteralString] = (
    f"INSERT INTO log.events ({_WRITTEN}) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
)
COPY: Final[LiteralString] = f"COPY log.events ({_WRITTEN}) FROM STDIN (FORMAT binary)"
READ: Final[LiteralString] = f"SELECT {_EVENT} FROM log.events WHERE sequence > %b ORDER BY sequence LIMIT %b"
READ_STREAM: Final[LiteralString] = (
    f"SELECT {_EVENT} FROM log.events "
    "WHERE tenant = %b AND kind = %b AND namespace = %b AND name = %b AND stream_version > %b "
    "ORDER BY stream_version"
)

CURSOR: Final[LiteralString] = "SELECT position, stream_identity FROM log.outbox_cursor WHERE name = %s"
SET_CURSOR: Final[LiteralString] = """
    INSERT INTO log.outbox_cursor (name, position, stream_identity, updated_at) VALUES (%s, %s, %s, now())
    ON CONFLICT (name) DO UPDATE
    SET position = excluded.position, stream_identity = excluded.stream_identity, updated_at = excluded.updated_at"""
TRY_RELAY_LOCK: Final[LiteralString] = "SELECT pg_try_advisory_lock(hashtextextended('agentplane relay ' || %s, 0))"


def stored_event(row: tuple[Any, ...]) -> StoredEvent:
    """A row of the event's columns as an event."""
    (
        seq,
        id_,
        tenant,
        kind,
        namespace,
        name,
        version,
        phase,
        type_,
        type_version,
        actor,
        time,
        recorded,
        corr,
        cause,
    ) = row[:15]
    event = Event(
        id=id_,
        stream=StreamId(tenant, kind, namespace, name),
        phase=Phase(phase),
        type=type_,
        type_version=type_version,
        actor=actor,
        time=time,
        correlation_id=corr,
        causation_id=cause,
        data=orjson.loads(row[15]),
    )
    return StoredEvent(event=event, sequence=seq, stream_version=version, recorded_at=recorded)


def entry_of(row: tuple[Any, ...]) -> Entry:
    """A row of `KNOWN` as an entry of the ledger."""
    return Entry(stored_event(row), bytes(row[15]), bytes(row[16]))
