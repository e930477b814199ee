"""One launch: found again or made, its console followed, its end awaited. Cancelling this leaves the guest running."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from agentplane import secretrefs
from agentplane.runners.plan import Ending, Execution, Plan
from agentplane.runs.protocol import Assignment
from services.executor.runstate import RunKey
from services.executor.surroundings import Surroundings


class Launch:
    """The guest of one attempt."""

    def __init__(self, around: Surroundings, key: RunKey, assignment: Assignment) -> None:
        self._around = around
        self._key = key
        self._assignment = assignment
        self._adopted = False

    async def find(self, plan: Plan) -> Execution | Ending | None:
        """What became of a launch that an earlier process made; None: it made none."""
        found = await self._around.blocking(self._around.host.adopt, plan)
        self._adopted = found is not None
        return found

    async def start(self, plan: Plan) -> Execution:
        """Launch it, with its secrets in memory only. Raises as `secretrefs.resolve` and `Host.launch`."""
        pins = self._assignment.pins
        secrets = secretrefs.resolve(self._around.secrets_dir, pins.secret_ref_root, pins.secrets)
        return await self._around.blocking(self._around.host.launch, self._assignment.backend, plan, secrets)

    async def watch(self, execution: Execution, cancelled: asyncio.Event, reason: Callable[[], str]) -> Ending:
        """Until it is over; killed when `cancelled` is set."""
        console, directory = self._around.console, Path(execution.directory)
        try:
            async with console.following(self._key, directory, adopted=self._adopted):
                await _over(execution, cancelled, reason)
                ending = await asyncio.to_thread(execution.wait)
        finally:
            execution.close()
        assert ending is not None  # noqa: S101 - `wait` without a timeout always answers
        return ending


async def _over(execution: Execution, cancelled: asyncio.Event, reason: Callable[[], str]) -> None:
    waits = {asyncio.ensure_future(_readable(execution.fileno())), asyncio.ensure_future(cancelled.wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    if cancelled.is_set():
        execution.kill(reason())
        await _readable(execution.fileno())


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
