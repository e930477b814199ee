"""`agentplane deadletters`: events that a controller could not handle, and another try."""

import asyncio
import uuid
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus
    from agentplane.domains.deadletters import Letter

_WAIT_S = 30.0


@click.group()
def deadletters() -> None:
    """Events that a controller could not handle, with the reason; a retry shows them again."""


@deadletters.command("list")
@click.option("--all", "all_", is_flag=True, help="The resolved ones as well.")
@click.option("--controller", help="Only of this controller.")
@render.names_option
@click.pass_context
def list_letters(ctx: click.Context, all_: bool, controller: str | None, output: str) -> int:
    """List dead letters that are not resolved, oldest first."""
    import msgspec

    context = contexts.current(ctx)
    found = _of(asyncio.run(_letters(context)), controller, everything=all_)
    rows = [
        (each.name, each.state.value, each.attempts, f"{each.kind}/{each.resource}", each.event_type, each.code)
        for each in found
    ]
    headers = ["dead letter", "state", "attempts", "about", "event", "code"]
    names = [each.name for each in found]
    plain = msgspec.to_builtins(found)
    render.emit(plain, output, lambda: render.table(headers, rows, empty="no dead letters"), names=names)
    return 0


@deadletters.command()
@click.argument("name")
@render.output_option
@click.pass_context
def show(ctx: click.Context, name: str, output: str) -> int:
    """Show one dead letter: who failed at what, and why."""
    import msgspec

    context = contexts.current(ctx)
    letter = _named(asyncio.run(_letters(context)), name)
    plain = msgspec.to_builtins(letter)

    def people() -> None:
        rows = [(field, value) for field, value in plain.items() if value not in (None, "", [])]
        render.table([letter.name, ""], rows, empty="")
        render.say(f"the event: agentplane events show {letter.sequence}")
        render.say(f"its story: agentplane events list --kind DeadLetter --name {letter.name}")

    render.emit(plain, output, people)
    return 0


@deadletters.command()
@click.argument("names", nargs=-1)
@click.option("--controller", help="All unresolved ones of this controller.")
@click.option("--reason", default="", help="Why; kept in the log.")
@render.output_option
@click.pass_context
def retry(ctx: click.Context, names: tuple[str, ...], controller: str | None, reason: str, output: str) -> int:
    """Show the events of dead letters to their controllers again.

    Waits for what becomes of them.

    Exit status 0: all are resolved. 1: one failed again.
    """
    import msgspec

    if bool(names) == bool(controller):
        raise click.UsageError("name dead letters, or a --controller")
    context = contexts.current(ctx)
    letters = asyncio.run(_retried(context, names, controller, reason))

    def people() -> None:
        for each in letters:
            words = each.state.value if each.state == "resolved" else f"{each.code}: {each.reason}"
            click.echo(f"{each.name} {words}")

    render.emit(msgspec.to_builtins(letters), output, people)
    return 0 if all(each.state == "resolved" for each in letters) else 1


def _of(letters: "tuple[Letter, ...]", controller: str | None, *, everything: bool = False) -> "tuple[Letter, ...]":
    return tuple(
        each for each in letters if (everything or each.state != "resolved") and controller in {None, each.controller}
    )


def _named(letters: "tuple[Letter, ...]", name: str) -> "Letter":
    found = next((each for each in letters if each.name == name), None)
    if found is None:
        raise NotFound(
            f"no dead letter {name[:80]!r}", code="deadletter.unknown", hint="`agentplane deadletters list` lists them"
        )
    return found


async def _letters(context: contexts.Context) -> "tuple[Letter, ...]":
    async with contexts.connected(context) as bus:
        return await _asked(bus, context.tenant)


async def _asked(bus: "NatsBus", tenant: str) -> "tuple[Letter, ...]":
    from agentplane.domains.deadletters import fold
    from agentplane.domains.resource import DEAD_LETTER_KIND
    from agentplane.queries.client import QueryClient
    from agentplane.queries.protocol import EventsList

    wish = EventsList(kind=DEAD_LETTER_KIND, limit=1000)
    return fold([stored async for stored in QueryClient(bus, tenant).all_events(wish)])


async def _retried(
    context: contexts.Context, names: tuple[str, ...], controller: str | None, reason: str
) -> "tuple[Letter, ...]":
    from agentplane.cli.submit import publish
    from agentplane.clock import SystemClock
    from agentplane.intents.deadletters import request_retry

    async with contexts.connected(context) as bus:
        known = await _asked(bus, context.tenant)
        wanted = [_named(known, name) for name in names] or list(_of(known, controller))
        for letter in wanted:
            intent = request_retry(
                uuid.uuid4(),
                tenant=context.tenant,
                letter=letter.name,
                actor=contexts.actor(),
                now=SystemClock().now(),
                reason=reason,
            )
            await publish(bus, intent)
        return await _settled(bus, context.tenant, {each.name: each.version for each in wanted})


async def _settled(bus: "NatsBus", tenant: str, before: dict[str, int]) -> "tuple[Letter, ...]":
    """The letters once each was resolved, or has failed again."""
    from agentplane.cli.waiting import leaving, until

    async def look() -> "tuple[Letter, ...]":
        return tuple(each for each in await _asked(bus, tenant) if each.name in before)

    def decided(now: "tuple[Letter, ...]") -> bool:
        return all(each.version > before[each.name] + 1 or each.state == "resolved" for each in now)

    shown = "agentplane deadletters list"
    with leaving(f"the retry goes on without you: {shown}"):
        otherwise = "control has not come to all of them yet"
        return await until(look, decided, within_s=_WAIT_S, otherwise=otherwise, hint=shown)
