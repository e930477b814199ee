"""One question to the query service, and its answer as data: what most commands do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentplane.cli import context as contexts

if TYPE_CHECKING:
    from agentplane.queries.client import QueryClient

Answer = TypeVar("Answer")


def ask(ctx: click.Context, question: "Callable[[QueryClient], Awaitable[Answer]]") -> Answer:
    """Connect, ask one question, disconnect."""
    from agentplane.queries.client import QueryClient

    context = contexts.current(ctx)

    async def asked() -> Answer:
        async with contexts.connected(context) as bus:
            return await question(QueryClient(bus, context.tenant))

    return asyncio.run(asked())


def builtins(value: object) -> Any:  # noqa: ANN401 - JSON
    """A struct as JSON data."""
    import msgspec

    return msgspec.to_builtins(value)
