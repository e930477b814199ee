"""A daemon's life: starting, ready, draining, stopped, told to systemd by sd_notify (sd_notify(3)).

The watchdog is fed by the event loop itself: a loop that stalls misses its beat and systemd restarts the daemon.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import sdnotify

from agentplane.daemon.logs import get_logger

log = get_logger()


def _notify(state: str) -> None:
    if "NOTIFY_SOCKET" in os.environ:  # the library stumbles over its absence and leaks a socket
        sdnotify.SystemdNotifier().notify(state)


class Lifecycle:
    """Handed to a daemon's app. `stopping` is set once; the app then drains and returns."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def ready(self, status: str) -> None:
        """Say that the daemon serves."""
        _notify(f"READY=1\nSTATUS={status}")
        log.info("ready", status=status)

    def waiting(self, status: str) -> None:
        """Say that it is up and waits for others, however long: systemd ends a start that takes minutes."""
        _notify(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say in a line how it is doing (`systemctl status` shows it)."""
        _notify(f"STATUS={status}")

    def stop(self, reason: str) -> None:
        """Begin to drain."""
        if not self.stopping.is_set():
            _notify(f"STOPPING=1\nSTATUS={reason}")
            log.info("stopping", reason=reason)
            self.stopping.set()

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> asyncio.Task[Any]:
        """Run a part of the daemon. If it fails, the daemon stops with that failure and its supervisor restarts it."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (failure := task.exception()) is None:
            return
        log.error("part failed", part=task.get_name(), exc_info=failure)
        self.failure = self.failure or failure
        self.stop(f"{task.get_name()} failed")

    async def close(self) -> None:
        """Cancel what still runs, after the app has drained."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def listen(self) -> None:
        """Drain at SIGTERM and SIGINT; feed the watchdog when systemd asks for it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, f"received {number.name}")
        if usec := os.environ.get("WATCHDOG_USEC"):
            self.spawn(self._feed(int(usec) / 2_000_000), "watchdog")

    async def _feed(self, period_s: float) -> None:
        while True:
            _notify("WATCHDOG=1")
            await asyncio.sleep(period_s)
