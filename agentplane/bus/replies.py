"""Who waits for which answer on one connection: every question has an inbox of its own, and fails when the bus does."""

import asyncio
import itertools
import secrets

from agentplane.bus.failures import UNREACHABLE
from agentplane.bus.reading import Delivered
from agentplane.errors import AgentplaneError, Denied, Transient


class Replies:
    """The answers that are awaited. `pattern` is the subject that `arrive` must be subscribed to."""

    def __init__(self, inbox: str) -> None:
        self._prefix = f"{inbox}.{secrets.token_hex(8)}."
        self.pattern = f"{self._prefix}*"
        self._tokens = itertools.count(1)
        self._waiting: dict[str, tuple[str, asyncio.Future[Delivered]]] = {}

    def expect(self, subject: str) -> tuple[str, asyncio.Future[Delivered]]:
        """A reply subject for one question, and its answer to come."""
        reply = f"{self._prefix}{next(self._tokens)}"
        future: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = (subject, future)
        return reply, future

    def forget(self, reply: str) -> None:
        """Nobody waits for that answer any more."""
        if found := self._waiting.pop(reply, None):
            found[1].cancel()

    def arrive(self, message: Delivered) -> None:
        """An answer, or the server's word that nobody will give one."""
        subject, future = self._waiting.get(message.subject, ("", None))
        if future is None or future.done():
            return
        if message.status == "503":
            hint = "the daemon that would answer is down or starting: try again, or see `agentplane stack status`"
            future.set_exception(Transient("nobody answers", code="bus.no-responder", where=subject, hint=hint))
        else:
            future.set_result(message)

    def deny(self, subject: str) -> None:
        """The server did not take questions on a subject, and tells us on the side; it may spell it in lower case."""
        for waited, future in tuple(self._waiting.values()):
            if waited.lower() == subject.lower():
                message = "the bus does not allow this key to publish here"
                _fail(future, Denied(message, code="bus.denied", where=waited))

    def fail(self, message: str) -> None:
        """The connection is gone, and all answers with it."""
        for subject, future in tuple(self._waiting.values()):
            _fail(future, Transient(message, code="bus.unreachable", where=subject, hint=UNREACHABLE))


def _fail(future: asyncio.Future[Delivered], why: AgentplaneError) -> None:
    if not future.done():
        future.set_exception(why)
