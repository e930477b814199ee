"""Publishing durably: atomic batches where stream and server can, otherwise windows of publishes in flight.

Returns only when the server has acknowledged everything. Never tries again by itself, but for streams that were wiped.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from agentplane.bus.failures import checked, unstored
from agentplane.bus.link import Link
from agentplane.bus.streams import STREAMS, stream_of
from agentplane.errors import Refused, Transient

_ACK_TIMEOUT_S: Final = 5.0
_WINDOW: Final = 100  # publishes in flight; more does not help when the server syncs each
_ATOMIC_MAX: Final = 1000  # the server's limit for one atomic batch

Outgoing = tuple[str, bytes, str]  # subject, data, message id


class Publisher:
    """Publishes over one link."""

    def __init__(self, link: Link, streams_back: Callable[[], Awaitable[bool]]) -> None:
        """`streams_back` makes streams again that are gone; False: they are not ours to make."""
        self._link = link
        self._streams_back = streams_back

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """In order. Raises Transient (also `bus.full`), Denied, Refused (`bus.too-large`)."""
        for start in range(0, len(messages), _ATOMIC_MAX):
            batch = messages[start : start + _ATOMIC_MAX]
            if not await self._atomically(batch):
                await self._in_windows(batch)

    async def _in_windows(self, messages: Sequence[Outgoing]) -> None:
        for start in range(0, len(messages), _WINDOW):
            window = [
                (subject, data, {"Nats-Msg-Id": message_id})
                for subject, data, message_id in messages[start : start + _WINDOW]
            ]
            await self._acknowledged(window)

    async def _acknowledged(self, window: list[tuple[str, bytes, dict[str, str]]]) -> None:
        try:
            answers = await self._link.ask_many(window, _ACK_TIMEOUT_S)
        except Transient as exc:
            if exc.code != "bus.no-responder" or not await self._streams_back():
                raise unstored(exc) from exc
            answers = await self._link.ask_many(window, _ACK_TIMEOUT_S)  # the server was wiped
        for (subject, _, _), answer in zip(window, answers, strict=True):
            _accepted(answer.data, subject)

    async def _atomically(self, messages: Sequence[Outgoing]) -> bool:
        """One fsync for all (server 2.12, ADR-50). False: not possible now, e.g. one of them is there already."""
        streams = {stream_of(subject) for subject, _, _ in messages}
        name = streams.pop() if len(streams) == 1 else None
        if len(messages) < 2 or name is None or not STREAMS[name].atomic:  # noqa: PLR2004 - one is no batch
            return False
        batch_id = secrets.token_hex(16)
        for number, (subject, data, message_id) in enumerate(messages[:-1], start=1):
            await self._link.cast(subject, data, headers=_headers(message_id, batch_id, number))
        subject, data, message_id = messages[-1]
        headers = _headers(message_id, batch_id, len(messages)) | {"Nats-Batch-Commit": "1"}
        try:
            answer = await self._link.ask(subject, data, headers=headers, timeout_s=_ACK_TIMEOUT_S)
            _accepted(answer.data, subject)
        except Transient as exc:
            if exc.code in ("bus.refused", "bus.no-responder"):
                return False
            raise unstored(exc) from exc
        return True


def _headers(message_id: str, batch_id: str, number: int) -> dict[str, str]:
    return {"Nats-Msg-Id": message_id, "Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}


def _accepted(answer: bytes, subject: str) -> None:
    try:
        checked(answer, subject)
    except Transient as exc:
        if "message size exceeds" in exc.message:
            raise Refused("larger than the stream takes", code="bus.too-large", where=subject) from exc
        raise
