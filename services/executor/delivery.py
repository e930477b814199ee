"""Journal delivery: records go out in order until control says that PostgreSQL has them. Nothing is forgotten before.

`Window` is the pure part. What was published but is not committed may be lost with the bus, so the window goes back
to the committed record after a failure, and when answers of control no longer move it. The message id is the record's
digest: publishing again is harmless.
"""

import asyncio
import contextlib
from asyncio import sleep as pause
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Transient
from agentplane.ports import Bus

WINDOW: Final = 256  # records on their way at most
BATCH: Final = 32
STALLED_ANSWERS: Final = 3
_DENIED_PAUSE_S: Final = 5.0

log = get_logger()


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which records are on their way."""

    committed: int = 0  # in PostgreSQL, says control
    sent: int = 0  # handed to the bus
    stalled: int = 0  # consecutive answers that did not move `committed` while something was on its way


def next_span(window: Window, head: int) -> tuple[int, int]:
    """The records to send now: after the first, up to and with the second; equal when there are none."""
    last = min(head, window.committed + WINDOW, window.sent + BATCH)
    return window.sent, max(last, window.sent)


def after_sent(window: Window, last: int) -> Window:
    """The bus took everything up to `last`."""
    return msgspec.structs.replace(window, sent=max(last, window.sent))


def after_failure(window: Window) -> Window:
    """The bus failed, or came back: what is not committed may be lost."""
    return Window(committed=window.committed, sent=window.committed)


def after_answer(window: Window, committed: int) -> Window:
    """Control said how far it has come. A number that goes down (a restored database) is believed as well."""
    if committed != window.committed:
        sent = window.sent if committed > window.committed else committed
        return Window(committed=committed, sent=max(sent, committed))
    if window.sent == window.committed:
        return msgspec.structs.replace(window, stalled=0)
    stalled = window.stalled + 1
    return after_failure(window) if stalled >= STALLED_ANSWERS else msgspec.structs.replace(window, stalled=stalled)


class Outgoing(msgspec.Struct, frozen=True):
    """One journal record as it is sent."""

    envelope: bytes
    digest: str


class Backlog(Protocol):
    """What delivery needs of a journal."""

    @property
    def index(self) -> int:
        """Of the last record; 0: empty."""
        ...

    def read(self, after: int, upto: int) -> Sequence[Outgoing]:
        """The records after `after`, up to and with `upto`."""
        ...


class Delivery:
    """Sends a journal's backlog, from the record after the last committed one."""

    def __init__(self, backlog: Backlog, bus: Bus, subject: str) -> None:
        self._backlog = backlog
        self._bus = bus
        self._subject = subject
        self._window = Window()
        self._changed = asyncio.Event()
        self._heard = asyncio.Event()
        self._healthy = True

    @property
    def window(self) -> Window:
        """Where it stands."""
        return self._window

    def journaled(self) -> None:
        """There is a new record."""
        self._changed.set()

    def heard(self) -> None:
        """Control answered, if only that it does not accept us: its part of the journal is still owed."""
        self._heard.set()

    def answered(self, committed_index: int) -> None:
        """Control said how much is committed."""
        self._heard.set()
        self._window = after_answer(self._window, min(committed_index, self._backlog.index))
        self._changed.set()

    def reconnected(self) -> None:
        """The bus is back, perhaps with nothing of what it held."""
        self._window = after_failure(self._window)
        self._changed.set()

    async def run(self) -> None:
        """Send what there is, for ever; from the first answer on, so that a long journal is not sent anew."""
        await self._heard.wait()
        while True:
            if not await self.send_next():
                await self._changed.wait()
            self._changed.clear()

    async def flush(self, timeout_s: float) -> None:
        """Hand the backlog to the bus before the daemon goes; what does not fit the time is sent after the restart."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
                while await self.send_next():
                    pass

    async def send_next(self) -> bool:
        """Send one batch; False when there was nothing to send, or the bus is away and it is not time again."""
        after, upto = next_span(self._window, self._backlog.index)
        if after == upto:
            return False
        records = await asyncio.to_thread(self._backlog.read, after, upto)
        try:
            await self._bus.publish_batch([(self._subject, record.envelope, record.digest) for record in records])
        except AgentplaneError as exc:
            if self._healthy:
                log.warning("records cannot be sent, and are kept", code=exc.code, reason=str(exc), first=after + 1)
            self._healthy, self._window = False, after_failure(self._window)
            await pause(exc.delay_s if isinstance(exc, Transient) else _DENIED_PAUSE_S)
            return True
        self._healthy = True
        # An answer may have come meanwhile: it knows better than we what to send again.
        if self._window.sent == after:
            self._window = after_sent(self._window, upto)
        return True
