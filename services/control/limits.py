"""A time limit for code that is not ours: a controller that hangs must not stop the others.

Python cannot stop a thread, and a process per decision would cost more than the decision. So calls run in a thread
beside the loop, and one that takes too long is abandoned with its thread: counted, logged, and its event becomes a dead
letter. The next event is shown to the controller all the same, until several abandoned calls are still busy: then its
events become dead letters at once, so that no controller holds more than a few threads. Code in C that keeps the
interpreter's lock stalls the whole process all the same; no limit inside it can help.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from agentplane.daemon.logs import get_logger
from agentplane.errors import Broken
from agentplane.metrics.counters import ABANDONED

log = get_logger()

TIMEOUT: Final = "controller.timeout"
MAX_BUSY: Final = 8  # abandoned calls of one controller

T = TypeVar("T")


class TimeLimit:
    """Calls functions by the name of whose they are, each for `limit_s` at most."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._busy: dict[str, list[_Worker]] = {}  # abandoned ones
        self._idle: _Worker | None = None  # who did the last call in time: a new thread costs as much as a decision

    async def call(self, name: str, function: Callable[[], T]) -> T:
        """What a function yields; it raises what the function raises.

        Raises:
            Broken: code `controller.timeout`: it took too long, or too many calls under this name still do; code
                `controller.exit`: it tried to end the process.
        """
        busy = self._busy[name] = [each for each in self._busy.get(name, ()) if each.is_alive()]
        if len(busy) >= MAX_BUSY:
            raise Broken(f"it is still busy with {len(busy)} earlier events", code=TIMEOUT)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        worker, self._idle = self._idle or _Worker(), None
        worker.give(lambda: _run(function, loop, answer))
        try:
            done, _ = await asyncio.wait((answer,), timeout=self._limit_s)
        finally:
            if not answer.done():
                answer.cancel()
                worker.dismiss()
        if not done:
            busy.append(worker)
            ABANDONED.labels(name).inc()
            log.error("a controller takes too long", controller=name, seconds=self._limit_s)
            raise Broken(f"it did not decide within {self._limit_s:g} seconds", code=TIMEOUT)
        self._keep(worker)
        return answer.result()

    def _keep(self, worker: "_Worker") -> None:
        """For the next call, unless another one waits already."""
        if self._idle is None:
            self._idle = worker
        else:
            worker.dismiss()


class _Worker(threading.Thread):
    """Does one thing after the other until it is dismissed; what it is at then, it ends."""

    def __init__(self) -> None:
        super().__init__(name="controllers", daemon=True)
        self._given: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.start()

    def give(self, job: Callable[[], None]) -> None:
        self._given.put(job)

    def dismiss(self) -> None:
        self._given.put(None)

    def run(self) -> None:
        while (job := self._given.get()) is not None:
            job()


def _run(function: Callable[[], T], loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[T]") -> None:
    result: T | None = None
    error: BaseException | None = None
    try:
        result = function()
    except Exception as exc:  # noqa: BLE001 - handed to whoever waits
        error = exc
    except BaseException as exc:  # noqa: BLE001 - such as sys.exit(): it ends nothing of ours
        error = Broken(f"it raised {type(exc).__name__}", code="controller.exit")

    def tell() -> None:
        if answer.done():  # abandoned meanwhile
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # None only where T is

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more
