"""Reading a whole log, or most of it, for a fold: by columns, in a stream, with only what folds need.

The server packs each column of a block of events into one value: numbers of fixed width behind one another, names
with separators, the data (canonical JSON already) with commas between. So what stands in one column of many events is
decoded in one call in C, and the driver hands over a few values per block instead of sixteen per event. COPY streams
the blocks: the server reads the next one while this one is decoded, and neither side ever holds more than a few.
A block begins after a sequence that it names; since sequences have no gaps, it carries only how many events it has.
"""

import struct
from collections.abc import AsyncIterator
from typing import Any, Final, LiteralString

import msgspec
from psycopg import AsyncConnection

from agentplane.errors import Broken, Refused
from agentplane.events.model import StreamId
from agentplane.store import wire
from agentplane.store.connection import Row

# a block of 128 events of 1 KB stays below the size at which memory is mapped and unmapped for every value
_BLOCKS: Final[LiteralString] = r"""
    COPY (
        SELECT block.* FROM generate_series({after}::bigint, {upto}::bigint - 1, 128) AS first, LATERAL (
            SELECT first AS after, count(*) AS events,
                string_agg(int8send(stream_version) || timestamptz_send(recorded_at), '') AS numbers,
                string_agg(tenant || E'\x1f' || kind || E'\x1f' || namespace || E'\x1f' || name || E'\x1f'
                    || type || E'\x1f' || type_version, E'\x1e') AS names,
                string_agg(data, ',') AS data
            FROM (
                SELECT * FROM log.events
                WHERE sequence > first AND sequence <= least(first + 128, {upto}) ORDER BY sequence
            ) page
        ) block WHERE events > 0
    ) TO STDOUT (FORMAT binary)"""
_MAX_NAMES: Final = 50_000
_HEAD: Final = struct.Struct("!hiqiq").unpack_from  # count of fields, after, events; each after its length
_HEAD_BYTES: Final = 26
_LENGTH: Final = struct.Struct("!i").unpack_from
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00"
_SIGNATURE_BYTES: Final = 19


class Names(msgspec.Struct, frozen=True, gc=False):
    """Where an event belongs; one object for all events of a stream and type."""

    stream: StreamId
    type: str
    type_version: int


class Lean(msgspec.Struct, frozen=True, gc=False):
    """What a fold over the log needs of an event. `recorded_us`: microseconds since 2000-01-01 UTC."""

    sequence: int
    stream_version: int
    recorded_us: int
    names: Names
    data: Any  # of the type that was asked for


async def scan(
    connection: AsyncConnection[Row],
    payload: Any,  # noqa: ANN401 - any type for msgspec
    *,
    after: int,
    upto: int,
) -> AsyncIterator[list[Lean]]:
    """Events with after < sequence <= upto in order, in lists of up to 128. `payload`: what all data are read as.

    Whoever stops before the end must drop the connection.

    Raises:
        Refused: code `event.payload`: data are not of that type. Broken: code `store.block`.
        psycopg.Error: as the driver says; see `agentplane.store.connection.translated`.
    """
    decoder = _Decoder(payload)
    # two integers, spelled by us: COPY takes no parameters
    async for row in wire.copy_out(connection, _BLOCKS.format(after=int(after), upto=int(upto)).encode()):
        events = decoder.events(row)
        if events:
            yield events


class _Decoder:
    """Turns rows as COPY sends them into events; remembers the names it has met."""

    def __init__(self, payload: Any) -> None:  # noqa: ANN401 - any type that msgspec decodes
        self._bodies = msgspec.json.Decoder(list[payload])
        self._names: dict[str, Names] = {}

    def events(self, row: bytes) -> list[Lean]:
        at = _SIGNATURE_BYTES if row.startswith(_SIGNATURE) else 0
        if len(row) < at + _HEAD_BYTES:
            return []  # the end mark
        _, _, after, _, count = _HEAD(row, at)
        numbers, names, data = _values(row, at + _HEAD_BYTES, 3)
        places = struct.unpack(f"!{2 * count}q", numbers)
        known = self._known(str(names, "utf-8").split("\x1e"))
        try:
            bodies = self._bodies.decode(b"[%b]" % data)
        except msgspec.ValidationError as exc:
            message = f"data of events after {after} are not what they are read as: {exc}"
            raise Refused(message, code="event.payload", hint="were they written by another version?") from exc
        if not len(bodies) == len(known) == count:
            raise Broken("a block of the log cannot be read", code="store.block", where=f"after {after}")
        return list(map(Lean, range(after + 1, after + 1 + count), places[::2], places[1::2], known, bodies))

    def _known(self, names: list[str]) -> list[Names]:
        known = self._names
        if len(known) > _MAX_NAMES:
            known.clear()
        try:
            return [known[each] for each in names]
        except KeyError:  # new ones
            for each in names:
                if each not in known:
                    tenant, kind, namespace, name, type_, version = each.split("\x1f")
                    known[each] = Names(StreamId(tenant, kind, namespace, name), type_, int(version))
        return [known[each] for each in names]


def _values(row: bytes, at: int, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        (length,) = _LENGTH(row, at)
        found.append(row[at + 4 : at + 4 + length])
        at += 4 + length
    return found
