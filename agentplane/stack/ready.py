"""Waiting until a stack serves, and saying which part does not."""

import asyncio
import socket
import time
from pathlib import Path

from agentplane.errors import Broken, Transient
from agentplane.stack import supervision
from agentplane.stack.layout import Layout

PERIOD_S = 0.05


def wait_for_port(port: int, name: str, *, timeout_s: float = 60) -> None:
    """Return when something accepts connections on a loopback port. Raises Transient (`stack.slow`)."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as exc:
            if time.monotonic() > deadline:
                raise Transient(f"{name} does not listen on {port}: {exc}", code="stack.slow") from exc
            time.sleep(PERIOD_S)  # a port has no event to wait for
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
