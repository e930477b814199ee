"""Waiting until a stack serves, and saying which part does not."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from agentplane.errors import Broken, Transient
from agentplane.stack import supervision
from agentplane.stack.layout import Layout
from agentplane.stack.ports import require_free

PERIOD_S = 0.05


def patiently(attempt: Callable[[], None], *, timeout_s: float = 60) -> None:
    """Return when `attempt` succeeds: a server that recovers answers late. Raises what the last attempt raised."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return attempt()
        except Transient:
            if time.monotonic() > deadline:
                raise
            time.sleep(PERIOD_S)  # a server that starts has no event to wait for


def wait_until_free(ports: dict[str, int], *, timeout_s: float = 30) -> None:
    """Return when nobody listens on these ports any more, or the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            require_free(ports)
        except Broken:
            time.sleep(PERIOD_S)  # the end of somebody else's child has no event either
        else:
            return


def wait_until_serving(layout: Layout, *, timeout_s: float = 120) -> None:
    """Return when queries are answered and the executor is ready. Raises Broken or Transient naming what is not."""
    asyncio.run(_serving(layout, time.monotonic() + timeout_s))


async def _serving(layout: Layout, deadline: float) -> None:
    while problem := await _problem(layout):
        if time.monotonic() > deadline:
            raise Transient(problem, code="stack.slow", hint=f"see the logs in {layout.logs}")
        await asyncio.sleep(PERIOD_S)


async def _problem(layout: Layout) -> str | None:
    from agentplane.cli.context import connected, load_context  # noqa: PLC0415 - the same door that people use
    from agentplane.queries.client import QueryClient  # noqa: PLC0415

    if supervision.pid(layout) is None:
        raise Broken("supervisord ended", code="stack.supervisor", hint=_tail(layout.logs / "supervisord.log"))
    try:
        context = load_context(layout.root)
        async with connected(context) as bus:
            executors = await QueryClient(bus, context.tenant).executors()
    except Transient as exc:
        return str(exc)
    return (
        None
        if any(each.executor.reachable and each.executor.facts for each in executors)
        else "no executor has reported yet"
    )


def _tail(path: Path) -> str:
    try:
        return path.read_text()[-400:]
    except OSError:
        return f"there is no {path}"
