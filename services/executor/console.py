"""What a run says while it goes, on `subjects.log`, at a bounded rate: its console as raw bytes, its events as lines.

The file that the runner keeps is the truth, up to its cap; the live view may lag, and says so where it leaves
something out. Losing a message here loses nothing that matters.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.errors import AgentplaneError
from agentplane.ports import Bus
from agentplane.runners.foreign import open_foreign
from services.executor.runstate import RunKey

_LOOK_S: Final = 0.1  # a file tells nobody that it grew
_CHUNK_BYTES: Final = 32 << 10
_FILES: Final = {"console": "console.log", "events": "events.jsonl"}  # channel -> the file that its shim writes


class Console:
    """Publishes consoles of one executor."""

    def __init__(self, bus: Bus, executor: str, bytes_per_second: int) -> None:
        self._bus = bus
        self._executor = executor
        self._bytes_per_second = bytes_per_second

    @asynccontextmanager
    async def following(self, key: RunKey, directory: Path, *, adopted: bool) -> AsyncIterator[None]:
        """Publish what appears in a launch's console while the block runs, and what is left when it ends."""
        tails = {channel: self._tail(key, directory, channel) for channel in _FILES}
        old = [tail.skip_old() for tail in tails.values()] if adopted else []
        if any(old):
            await tails["console"].say("the executor was restarted; earlier output is in the kept console")
        over = asyncio.Event()
        tasks = [asyncio.ensure_future(tail.follow(over)) for tail in tails.values()]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)

    def _tail(self, key: RunKey, directory: Path, channel: str) -> "_Tail":
        subject = subjects.log(self._executor, key.tenant, key.run, channel)
        words = _as_event if channel == "events" else _as_line
        return _Tail(self._bus, subject, directory / _FILES[channel], self._bytes_per_second, words)


def _as_line(words: str) -> bytes:
    return f"\n[agentplane: {words}]\n".encode()


def _as_event(words: str) -> bytes:
    return msgspec.json.encode({"event": "agentplane", "data": words}) + b"\n"


class _Tail:
    """One file that grows, and how much of it was published."""

    def __init__(
        self, bus: Bus, subject: str, path: Path, bytes_per_second: int, words: Callable[[str], bytes]
    ) -> None:
        self._words = words
        self._bus = bus
        self._subject = subject
        self._path = path
        self._bytes_per_second = bytes_per_second
        self._offset = 0

    def skip_old(self) -> bool:
        """Leave out what was there before us; whether there was something."""
        self._offset = self._size()
        return self._offset > 0

    async def say(self, words: str) -> None:
        """A line of our own among the guest's."""
        await self._emit(self._words(words))

    async def follow(self, over: asyncio.Event) -> None:
        """Publish until it is over, at most so many bytes a second; then what is left, up to one second's worth."""
        per_look = max(1, int(self._bytes_per_second * _LOOK_S))
        while not over.is_set():
            await self._publish(per_look)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _LOOK_S)
        await self._publish(self._bytes_per_second)
        if (left := self._size() - self._offset) > 0:
            await self.say(f"{left} bytes more are in the kept file")

    async def _publish(self, most: int) -> None:
        for data in self._new_chunks(most):
            self._offset += len(data)
            await self._emit(data)

    def _new_chunks(self, most: int) -> list[bytes]:
        try:
            descriptor = open_foreign(self._path)
        except OSError:
            return []  # not there yet, or no file
        try:
            data = os.pread(descriptor, most, self._offset)
        finally:
            os.close(descriptor)
        return [data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]

    def _size(self) -> int:
        with contextlib.suppress(OSError):
            return self._path.lstat().st_size
        return 0

    async def _emit(self, data: bytes) -> None:
        with contextlib.suppress(AgentplaneError):
            await self._bus.emit(self._subject, data)
