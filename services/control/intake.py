"""Messages in: intents and reports. Each is acknowledged only when everything that follows from it is stored.

| what happens | the message |
|---|---|
| decided and stored, or nothing to do | is acknowledged |
| the database is away, a race was lost too often, a record came before its turn | comes again after a delay |
| it cannot be understood, or the store refuses it | is remembered by its digest (`intent.rejected`), then terminated |
| we fail at it | comes again; after many times it is remembered as above, so that it cannot stop the others |
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from agentplane.bus import subjects
from agentplane.controllers import intents
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Conflict, Refused, Transient
from agentplane.metrics.counters import count_message
from agentplane.ports import Bus, Message
from services.control.runtime import Runtime

log = get_logger()

MAX_DEFECTS: Final = 20
_FIRST_DELAY_S: Final = 0.05
_LAST_DELAY_S: Final = 5.0
_LAST_TURN_DELAY_S: Final = 1.0

Act = Callable[[Message], Awaitable[None]]


class TooEarly(Exception):
    """What this message follows has not come yet: deliver it again later."""


class Intake:
    """Takes messages of one kind, many at a time, and settles each."""

    def __init__(self, runtime: Runtime, bus: Bus, *, tenants: Collection[str], concurrency: int) -> None:
        self._runtime = runtime
        self._bus = bus
        self._tenants = tenants
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()

    async def consume(self, durable: str, subject: str, act: Act) -> None:
        """Take messages until cancelled. They are begun in the order in which they come."""
        async for message in self._bus.consume(subjects.INTENTS, durable, subject=subject):
            await self._slots.acquire()
            task = asyncio.get_running_loop().create_task(self.handle(message, act))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def drain(self) -> None:
        """Finish what is in hand."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def handle(self, message: Message, act: Act) -> None:
        """Act upon one message and say what becomes of it."""
        try:
            await act(message)
        except TooEarly:
            count_message(message.subject, "too_early")
            await message.nak(min(_delay_s(message), _LAST_TURN_DELAY_S))
        except Transient as error:
            count_message(message.subject, "tried_again")
            log.warning("will be tried again", subject=message.subject, code=error.code, error=str(error))
            await message.nak(max(error.delay_s, _delay_s(message)))
        except Refused as refused:
            count_message(message.subject, "rejected")
            await self._reject(message, refused)
        except Exception:
            count_message(message.subject, "defect")
            log.exception("defect", subject=message.subject, deliveries=message.deliveries)
            await self._after_defect(message)
        else:
            count_message(message.subject, "taken")
            await message.ack()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _after_defect(self, message: Message) -> None:
        if message.deliveries < MAX_DEFECTS:
            await message.nak(_delay_s(message))
        else:
            await self._reject(message, Refused("control failed at it every time", code="control.defect"))

    async def _reject(self, message: Message, refused: Refused) -> None:
        log.warning("rejected", subject=message.subject, code=refused.code)
        try:
            await self._remember(message, refused)
        except AgentplaneError as error:
            log.warning("a rejection cannot be stored", subject=message.subject, code=error.code, error=str(error))
            await message.nak(_LAST_DELAY_S)
        else:
            await message.term(refused.code)

    async def _remember(self, message: Message, refused: Refused) -> None:
        now = self._runtime.now()
        with_words = intents.reject(message.subject, message.data, refused, tenants=self._tenants, now=now)
        try:
            await self._runtime.store.append(*with_words.appends)
        except Conflict:
            return  # it was remembered before
        except Refused:  # our words about it seem to repeat what may not be stored
            wordless = intents.reject_wordlessly(message.subject, message.data, refused, tenants=self._tenants, now=now)
            await self._runtime.store.append(*wordless.appends)


def _delay_s(message: Message) -> float:
    return float(min(_FIRST_DELAY_S * 2 ** min(message.deliveries, 10), _LAST_DELAY_S))
