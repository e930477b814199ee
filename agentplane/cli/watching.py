"""What is there, then what is new or has changed, for as long as somebody watches. Outages are waited out."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import click

from agentplane.cli import render
from agentplane.errors import Transient

_EVERY_S = 1.0


class Seen(NamedTuple):
    """A thing by its name, and its document as it was just now."""

    name: str
    document: dict[str, Any]


async def changes(
    look: Callable[[], Awaitable[list[Seen]]], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[list[Seen]]:
    """All things, even if there are none; then those that are new or have changed. `pause` takes seconds.

    Raises: what `look` raises, but for Transient after the first look: then it is asked again.
    """
    shown: dict[str, dict[str, Any]] | None = None
    trouble = False
    while True:
        try:
            seen = await look()
        except Transient as error:
            if shown is None:
                raise
            if not trouble:
                render.say(f"waiting: {error}")
            trouble = True
        else:
            if trouble:
                render.say("again there")
            trouble = False
            before = shown or {}
            news = [each for each in seen if before.get(each.name) != each.document]
            if news or shown is None:
                yield news
            shown = dict(seen)
        await pause(_EVERY_S)


def print_lines(news: list[Seen], output: str) -> None:
    """Names, or documents one a line, handed on at once."""
    for each in news:
        click.echo(each.name if output == "name" else json.dumps(each.document, ensure_ascii=False))
    sys.stdout.flush()
