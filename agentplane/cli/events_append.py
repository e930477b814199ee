"""`agentplane events append`: one event that a person or an agent says happened.

It goes the way of every import: a wish that control holds to the catalogue, and the fact in the same append. An id
names one event for ever: told again it is found, with another body it is a conflict.
"""

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.errors import Conflict, Refused

if TYPE_CHECKING:
    from agentplane.domains.registry import Registry
    from agentplane.imports.model import Line
    from agentplane.imports.shaping import Judged

MAX_BYTES = 512 * 1024


@click.command()
@click.argument("type_", metavar="TYPE")
@click.option("--data", help="The data, a JSON object.")
@click.option(
    "-f", "--file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), help="… in a file, or -."
)
@click.option("--actor", help="Who did it, such as project-a/worker-1 [default: you].")
@click.option("--id", "id_", help="Its id, such as evt-a1b2c3: repeating it is harmless [default: a new one].")
@click.option("--time", help="When it happened, ISO 8601 [default: now].")
@click.option("--correlation", help="What belongs together, such as sprint-12.")
@click.option("--caused-by", help="The id of the event that led to it.")
@click.option("--dry-run", is_flag=True, help="Check it; store nothing.")
@render.output_option
@click.pass_context
def append(ctx: click.Context, /, type_: str, output: str, dry_run: bool, **given: Any) -> int:  # noqa: ANN401
    """Record that an event of TYPE happened.

    `agentplane events types` lists the types.

    A type of a family that no catalogue here knows is kept as it is, under the kind Foreign.
    """
    line = _line(type_, _data(given["data"], given["file"]), given)
    known = _checked(line)
    context = contexts.current(ctx)
    told = asyncio.run(_recorded(context, line, dry_run=dry_run))
    told = {**told, "catalogued": known}

    def people() -> None:
        if not known:
            render.say(f"no catalogue here knows {line.type}; it is kept as it is")
        place = "" if told["sequence"] is None else f" as event {told['sequence']}"
        click.echo(f"{told['result']} {line.type} {told['id']}{place}")

    render.emit(told, output, people)
    return 0


def _data(text: str | None, file: Path | None) -> bytes:
    if (text is None) == (file is None):
        raise click.UsageError("the data are given by one of --data and --file")
    if text is not None:
        return text.encode()
    try:
        with click.open_file(str(file), "rb") as opened:
            found: bytes = opened.read(MAX_BYTES + 1)
    except OSError as exc:
        raise Refused(f"cannot be read: {exc.strerror}", code="event.file", where=str(file)) from exc
    return found


def _line(type_: str, raw: bytes, given: dict[str, Any]) -> "Line":
    from agentplane.domains.work.aliases import canonical_data, canonical_type
    from agentplane.imports.model import Line

    data = _object(raw)
    return Line(
        number=1,
        id=_word(given["id_"], "--id") or str(uuid.uuid4()),
        type=canonical_type(type_) or type_,
        actor=given["actor"] or contexts.actor(),
        time=_time(given["time"]),
        correlation=_word(given["correlation"], "--correlation"),
        cause=_word(given["caused_by"], "--caused-by"),
        data=canonical_data(type_, data),
    )


def _word(text: str | None, option: str) -> str | None:
    """An id as every import takes it. Raises BadParameter, naming the option."""
    from agentplane.imports.fields import MAX_TEXT

    if text and (len(text) > MAX_TEXT or not text.isprintable()):
        raise click.BadParameter(f"must be 1 to {MAX_TEXT} printable characters", param_hint=option)
    return text


def _object(raw: bytes) -> dict[str, Any]:
    import msgspec

    if len(raw) > MAX_BYTES:
        raise Refused(f"the data have more than {MAX_BYTES} bytes", code="event.data-invalid")
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Refused(f"the data are not a JSON object: {exc}", code="event.data-invalid") from None


def _time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Refused(f"{text[:40]!r} is no ISO 8601 time", code="event.time", hint="2026-01-31T12:00:00Z") from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _checked(line: "Line") -> bool:
    """Whether the catalogue knows the type. Raises NotFound, Refused: it cannot be recorded as it stands."""
    from agentplane.domains.discovery import installed
    from agentplane.domains.facts import check, find

    registry = installed().registry
    fact = find(registry.facts, line.type)
    if fact is not None:
        check(fact, line.data)
    elif (family := line.type.partition(".")[0]) in _taken(registry):
        raise Refused(f"events of the family {family!r} are said by controllers only", code="event.type-reserved")
    if line.actor.startswith(("controller:", "executor:", "system:")):
        raise Refused("a part of the control plane speaks for itself", code="intent.actor")
    return fact is not None


def _taken(registry: "Registry") -> frozenset[str]:
    from agentplane.domains.facts import RESERVED

    return RESERVED | {name.lower() for name in registry.kinds}


async def _recorded(context: contexts.Context, line: "Line", *, dry_run: bool) -> dict[str, Any]:
    import msgspec

    from agentplane.cli.importing import hand_in
    from agentplane.clock import SystemClock
    from agentplane.domains.discovery import installed
    from agentplane.imports.admit import admit
    from agentplane.imports.model import EventsImported, ImportRequested
    from agentplane.imports.shaping import ids_of, rules_of
    from agentplane.queries.client import QueryClient
    from agentplane.queries.imports import ImportClient

    tenant = context.tenant
    ids = ids_of(line, tenant)
    async with contexts.connected(context) as bus:
        client = ImportClient(bus, tenant)
        found = await client.known(ids)
        try:
            judged = admit(line, rules_of(tenant, installed().registry), found, (), SystemClock().now())
        except Refused as refused:
            if refused.code != "import.conflict":
                raise
            raise Conflict(refused.message, code="event.conflict", hint=refused.hint) from refused
        if judged.duplicate or dry_run:
            return _told("already recorded" if judged.duplicate else "would record", judged, None)
        reports: list[EventsImported] = []
        wish = ImportRequested(lines=(), source="events append", strict=True)
        await hand_in(bus, iter((line,)), tenant=tenant, actor=contexts.actor(), wish=wish, done=reports.append)
        there = await client.known(ids)  # another id than foretold where that one is another tenant's event's
        stored = await QueryClient(bus, tenant).event(next((id_ for id_ in ids if id_ in there), judged.event.id))
        result = "recorded" if reports[0].stored else "already recorded"
        return _told(result, msgspec.structs.replace(judged, event=stored.event), stored.sequence)


def _told(result: str, judged: "Judged", sequence: int | None) -> dict[str, Any]:
    event, stream = judged.event, judged.event.stream
    return {
        "result": result,
        "id": str(event.id),
        "sequence": sequence,
        "type": event.type,
        "kind": stream.kind,
        "name": stream.name,
        "actor": event.actor,
    }
