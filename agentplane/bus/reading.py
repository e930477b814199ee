"""The short way in: from the socket's bytes to whoever takes a message, without a queue and a task per subscription.

nats-py's parser matches regular expressions against its buffer, parses headers that nobody asked for, and hands each
message to a task. Here a message of a subscription that has a *taker* is cut out of the bytes and handed over at once;
those of other subscriptions, and every other line of the protocol, go the driver's own way. Each subscription's
messages keep their order.

Source: NATS client protocol, `MSG subject sid [reply] size` and `HMSG subject sid [reply] header-size size`.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

_CRLF: Final = b"\r\n"
_STATUS: Final = slice(9, 12)  # of `NATS/1.0 503 …`


class Delivered:
    """A message as it came. Headers are parsed when somebody asks for them."""

    __slots__ = ("_head", "data", "reply", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, head: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self._head = head

    @property
    def bare(self) -> bool:
        """Whether it has no headers."""
        return not self._head

    @property
    def status(self) -> str:
        """What the server says instead of a message, such as 503 (nobody there), 404 or 100; empty: it is a message."""
        return (
            self._head[_STATUS].decode("ascii", "replace")
            if self._head and not self.data and self._head[8:9] == b" "
            else ""
        )

    @property
    def headers(self) -> dict[str, str]:
        """Its headers; names as they were sent."""
        fields = (line.partition(b":") for line in self._head.split(_CRLF)[1:] if b":" in line)
        return {_text(name): _text(value) for name, _, value in fields}

    @property
    def metadata(self) -> Any:  # noqa: ANN401 - the driver's Msg.Metadata
        """What JetStream says of a delivery; it stands in the subject of the reply."""
        return Msg.Metadata._from_reply(self.reply)  # noqa: SLF001 - the driver has no other way


def _text(raw: bytes) -> str:
    return raw.strip().decode("utf-8", "replace")


def _legible(word: bytes) -> bytes:
    """A subject that can be decoded. The server passes on any bytes; after one it cannot read, the driver stops."""
    return word if word.isascii() else word.decode("utf-8", "replace").encode()


Taker = Callable[[Delivered], None]


class Reader(Parser):
    """The driver's parser, with takers by the number of their subscription. A taker never raises and never waits."""

    def __init__(self, client: Client) -> None:
        self.takers: dict[int, Taker] = {}
        super().__init__(client)

    @staticmethod
    def of(client: Client) -> "Reader":
        """The reader of a `new_client`."""
        reader = client._ps  # noqa: SLF001 - the driver has no other way
        assert isinstance(reader, Reader)  # noqa: S101 - every client of ours
        return reader

    def reset(self) -> None:
        """Begin anew: it is another connection."""
        super().reset()
        self._rest = b""
        self._wanted = 0  # bytes that `_rest` must have before it is worth looking at

    async def parse(self, data: bytes = b"") -> None:
        """Take what came. Raises nats.errors.ProtocolError, upon which the driver connects again."""
        self._rest = buffer = self._rest + data if self._rest else data
        if len(buffer) < self._wanted:
            return
        self._wanted = at = 0
        while (end := buffer.find(_CRLF, at)) >= 0:
            line = buffer[at:end]
            stop = end + 2
            if line.startswith((b"HMSG ", b"MSG ")):
                stop = await self._message(line, buffer, stop)
            else:
                await super().parse(buffer[at:stop])
            if self._rest is not buffer:  # the connection ended meanwhile
                return
            if stop > len(buffer):
                self._wanted = stop - at
                break
            at = stop
        self._rest = buffer[at:]

    async def _message(self, line: bytes, buffer: bytes, start: int) -> int:
        """Hand one message on, if all of it is there; where it ends."""
        words, headed = line.split(), line.startswith(b"H")
        try:
            with_reply = {4 + headed: False, 5 + headed: True}[len(words)]
            stop = start + int(words[-1])
            body = start + int(words[-2]) if headed else start
            sid = int(words[2])
        except (ValueError, KeyError) as exc:
            raise ProtocolError("nats: malformed MSG") from exc
        if not start <= body <= stop:
            raise ProtocolError("nats: malformed sizes")
        subject, reply = _legible(words[1]), _legible(words[3]) if with_reply else b""
        if stop + 2 > len(buffer):
            return stop + 2
        taker = self.takers.get(sid)
        if taker is None:
            head = buffer[start:body] or None
            # the driver's reading would end with headers that it cannot read: a message with such ones is dropped
            with contextlib.suppress(ValueError, LookupError):
                await self.nc._process_msg(sid, subject, reply, buffer[body:stop], head)  # noqa: SLF001
        else:
            taker(Delivered(subject.decode(), reply.decode(), buffer[body:stop], buffer[start:body]))
        return stop + 2


def new_client() -> Client:
    """A client of the driver's that reads this way."""
    client = Client()
    client._ps = Reader(client)  # noqa: SLF001 - the driver has no other way
    return client
