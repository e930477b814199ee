"""Handing lines to control: what is there already is found first, then batch after batch, each answered in turn.

Repeating an import is harmless: what was stored is found again.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from agentplane.cli.submit import publish
from agentplane.clock import SystemClock
from agentplane.errors import NotFound, Refused, Transient
from agentplane.events.cloudevents import decode_stored, encode
from agentplane.events.codec import payload
from agentplane.events.model import Event, StoredEvent
from agentplane.imports.admit import fact_id
from agentplane.imports.batches import batches, request_import
from agentplane.imports.model import EventsImported, ImportRequested, Line
from agentplane.imports.order import Item
from agentplane.imports.scan import Problem, Reader
from agentplane.imports.shaping import Rules, judge
from agentplane.queries.client import QueryClient
from agentplane.queries.imports import ImportClient
from agentplane.runs.intents import INTENT_REJECTED

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus

ANSWER_WITHIN_S: Final = 60.0
_LOOK_AGAIN_S: Final = 0.5
_CHUNK: Final = 1000  # lines that are looked up at once


class Compared(msgspec.Struct, kw_only=True):
    """Lines beside the log: what is new, in order, and what is there."""

    new: list[Item] = msgspec.field(default_factory=list)
    duplicates: int = 0
    conflicts: list[Problem] = msgspec.field(default_factory=list)


async def compare(bus: "NatsBus", reader: Reader, rules: Rules, items: list[Item]) -> Compared:
    """What the log has of the lines already; only those of which it has an id are read again. Raises Transient."""
    client, found = ImportClient(bus, rules.tenant), Compared()
    for start in range(0, len(items), _CHUNK):
        chunk = items[start : start + _CHUNK]
        known = await client.known(tuple(dict.fromkeys(id_ for item in chunk for id_ in (item.id, *item.others))))
        for item in chunk:
            if item.id not in known and not any(id_ in known for id_ in item.others):
                found.new.append(item)
                continue
            line = reader.line(item)
            judged = judge(line, rules, known)
            if judged.conflict is not None:
                found.conflicts.append(_conflict(line, judged.conflict))
            elif judged.duplicate:
                found.duplicates += 1
            else:
                found.new.append(item)
    return found


def _conflict(line: Line, digests: tuple[str, str]) -> Problem:
    stored, given = digests
    reason = f"event {line.id[:80]} is stored with another body: stored sha256:{stored}, given sha256:{given}"
    return Problem(line=line.number, code="import.conflict", reason=reason)


async def hand_in(
    bus: "NatsBus",
    lines: Iterator[Line],
    *,
    tenant: str,
    actor: str,
    wish: ImportRequested,
    done: Callable[[EventsImported], None],
) -> uuid.UUID:
    """Send lines in order; `done` hears of each batch as it is stored. Returns the import's id.

    Raises:
        Refused: control does not take a batch; nothing of that batch is stored. Transient: `control.silent`.
    """
    import_id = uuid.uuid4()
    requests = _requests(lines, wish, import_id, tenant, actor)
    async with _answers(bus, tenant) as answers:
        ready = await asyncio.to_thread(next, requests, None)
        while ready is not None:
            intent, body = ready
            await publish(bus, intent, body)
            ahead = asyncio.create_task(asyncio.to_thread(next, requests, None))  # read while control decides
            try:
                done(await _report(intent, answers, QueryClient(bus, tenant)))
            finally:
                await asyncio.gather(ahead, return_exceptions=True)
            ready = ahead.result()
    return import_id


def _requests(
    lines: Iterator[Line], wish: ImportRequested, import_id: uuid.UUID, tenant: str, actor: str
) -> Iterator[tuple[Event, bytes]]:
    """Each batch as an intent, and its bytes."""
    for number, batch in enumerate(batches(lines), start=1):
        request = msgspec.structs.replace(wish, lines=batch, batch=number)
        intent = request_import(import_id, tenant=tenant, actor=actor, now=SystemClock().now(), wish=request)
        yield intent, encode(intent)


@contextlib.asynccontextmanager
async def _answers(bus: "NatsBus", tenant: str) -> AsyncIterator["asyncio.Queue[StoredEvent]"]:
    """What control says of imports and of intents that it did not take, as it is relayed; NATS may lose some."""
    heard: asyncio.Queue[StoredEvent] = asyncio.Queue()

    async def listen(subject: str) -> None:
        async for _, body in bus.subscribe(subject):
            heard.put_nowait(decode_stored(body))

    tasks = [asyncio.create_task(listen(f"agentplane.{tenant}.fact.{kind}.>")) for kind in ("Import", "Intent")]
    try:
        yield heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _report(intent: Event, answers: "asyncio.Queue[StoredEvent]", client: QueryClient) -> EventsImported:
    wanted = fact_id(intent.id)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while True:
                stored = await _next(answers) or await _asked(client, wanted)
                if stored is None:
                    continue
                event = stored.event
                if event.id == wanted:
                    return payload(event, EventsImported)
                if event.type == INTENT_REJECTED and event.data.get("intentId") == str(intent.id):
                    raise Refused(event.data["message"], code=event.data["code"])
    except TimeoutError:
        raise Transient(
            "control has not answered; the batch is queued and will be handled when it does",
            code="control.silent",
            hint="`agentplane stack status` shows what is down; then repeat the import: what is stored is found again",
        ) from None


async def _next(answers: "asyncio.Queue[StoredEvent]") -> StoredEvent | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_AGAIN_S):
            return await answers.get()
    return None


async def _asked(client: QueryClient, wanted: uuid.UUID) -> StoredEvent | None:
    try:
        return await client.event(wanted)
    except NotFound:
        return None
