"""Projections that the database folds itself: sets over the log's typed columns, where no event has to be looked at.

One statement is live, catch-up and rebuild: it adds what happened after a position to what is there already. It holds
no more than a row per stream of the range, and a range is bounded, so memory does not grow with the log.
"""

# ruff: noqa: S608 - only literals are spliced (LiteralString): mypy refuses anything else

from typing import Final, LiteralString

from psycopg import AsyncConnection

from agentplane.store.connection import Row

RANGE_EVENTS: Final = 250_000  # of one transaction, when far behind

_INTO_STREAMS: Final[LiteralString] = """
    INSERT INTO views.streams{suffix} AS known (
        tenant, kind, namespace, name, events, intents, facts, first_sequence, last_sequence,
        first_recorded_at, last_recorded_at, last_type, last_actor) """
_STREAMS_ADDED: Final[LiteralString] = """
    ON CONFLICT (tenant, kind, namespace, name) DO UPDATE SET
        events = known.events + excluded.events, intents = known.intents + excluded.intents,
        facts = known.facts + excluded.facts, last_sequence = excluded.last_sequence,
        last_recorded_at = excluded.last_recorded_at,
        last_type = excluded.last_type, last_actor = excluded.last_actor"""
_STREAMS: Final[LiteralString] = (
    _INTO_STREAMS
    + """
    SELECT added.tenant, added.kind, added.namespace, added.name, events, intents, facts, first_sequence, last_sequence,
        began.recorded_at, ended.recorded_at, ended.type, ended.actor
    FROM (
        SELECT tenant, kind, namespace, name, count(*) AS events,
            count(*) FILTER (WHERE phase = 'intent') AS intents, count(*) FILTER (WHERE phase = 'fact') AS facts,
            min(sequence) AS first_sequence, max(sequence) AS last_sequence
        FROM log.events WHERE {later}sequence <= %(upto)s
        GROUP BY tenant, kind, namespace, name
    ) added
    JOIN log.events began ON began.sequence = first_sequence
    JOIN log.events ended ON ended.sequence = last_sequence"""
    + _STREAMS_ADDED
)

TALLIES: Final[dict[str, LiteralString]] = {"streams": _STREAMS}
# one row, folded from nothing over a few events that are in hand: added to what is there
ADD: Final[dict[str, LiteralString]] = {
    "streams": (_INTO_STREAMS + "VALUES (" + ", ".join(["%b"] * 13) + ")" + _STREAMS_ADDED).replace("{suffix}", "")
}


async def tally(
    connection: AsyncConnection[Row], projection: str, suffix: LiteralString, *, after: int, upto: int | None
) -> int:
    """Add what happened after a sequence, within the caller's transaction; the position then."""
    found = await (await connection.execute("SELECT coalesce(max(sequence), 0) FROM log.events")).fetchone()
    head = int(found[0]) if found else 0
    until = min(head if upto is None else min(head, upto), after + RANGE_EVENTS)
    if until <= after:
        return after
    later: LiteralString = "sequence > %(after)s AND " if after else ""  # from the start, a comparison less per event
    statement: LiteralString = TALLIES[projection].replace("{suffix}", suffix).replace("{later}", later)
    await connection.execute(statement, {"after": after, "upto": until}, prepare=False)
    return until
