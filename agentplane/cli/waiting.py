"""How commands wait for what was handed in: until a read model shows it, or somebody presses Ctrl-C.

The read model moves after the log, and nobody tells a command when: it is asked again, ever less often. Who answers may
start again meanwhile, and what is waited for may not be there yet; neither ends a wait.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import click

from agentplane.cli import render
from agentplane.errors import NotFound, Transient

if TYPE_CHECKING:
    from agentplane.queries.client import QueryClient
    from agentplane.queries.protocol import ExecutorLine

_LOOK_AGAIN_S: Final = (0.05, 0.1, 0.2, 0.5)  # the last one from then on

Seen = TypeVar("Seen")


@contextmanager
def leaving(words: str) -> Iterator[None]:
    """Who presses Ctrl-C here learns what goes on without them; the exit status is 130 (`cli.main`)."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError):  # the second is what Ctrl-C is to a coroutine
        render.say(words)
        raise


async def until(
    look: Callable[[], Awaitable[Seen]],
    reached: Callable[[Seen], bool],
    *,
    within_s: float,
    otherwise: str,
    hint: str,
    where: str | None = None,
) -> Seen:
    """What `look` finds once it is as wished. Raises Transient (`view.late`) when it takes too long."""
    pauses = itertools.chain(_LOOK_AGAIN_S, itertools.repeat(_LOOK_AGAIN_S[-1]))
    try:
        async with asyncio.timeout(within_s):
            for pause_s in pauses:
                try:
                    if reached(seen := await look()):
                        return seen
                except (NotFound, Transient):
                    pass
                await asyncio.sleep(pause_s)
    except TimeoutError:
        pass
    raise Transient(otherwise, code="view.late", where=where, hint=hint)


def for_executor(
    ctx: click.Context,
    name: str,
    reached: "Callable[[ExecutorLine], bool]",
    *,
    within_s: float,
    otherwise: str,
    hint: str | None = None,
) -> None:
    """Return once executor `name` is as wished. Raises as `until`."""
    from agentplane.cli.asking import ask

    async def look(client: "QueryClient") -> "ExecutorLine":
        for line in await client.executors():
            if line.executor.name == name:
                return line
        raise NotFound(f"no executor {name!r}", code="executor.unknown")

    shown = f"agentplane executor describe {name}"
    with leaving(f"what was asked of {name} goes on without you: {shown}"):
        ask(
            ctx,
            lambda client: until(
                lambda: look(client), reached, within_s=within_s, otherwise=otherwise, hint=hint or shown, where=name
            ),
        )
