"""The short way in: whatever pieces the bytes come in, every message goes where it belongs, in order."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ProtocolError

from agentplane.bus.reading import Delivered, Reader, new_client

TAKEN, OTHER = 7, 8


class Driver:
    """Notes what the parser hands to the driver."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.at_error: Callable[[], None] = lambda: None

    async def _process_msg(self, *message: Any) -> None:
        self.said.append(message)

    async def _process_ping(self) -> None:
        self.said.append("ping")

    async def _process_pong(self) -> None:
        self.said.append("pong")

    async def _process_err(self, words: str) -> None:
        self.said.append(words)
        self.at_error()

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.said.append(info)


def read() -> tuple[Reader, Driver, list[Delivered]]:
    driver, taken = Driver(), list[Delivered]()
    reader = Reader(driver)  # type: ignore[arg-type]
    reader.takers[TAKEN] = taken.append
    return reader, driver, taken


def msg(sid: int, body: bytes, reply: bytes = b"") -> bytes:
    return b"MSG a.b %d %s%d\r\n%s\r\n" % (sid, reply and reply + b" ", len(body), body)


def hmsg(sid: int, head: bytes, body: bytes, reply: bytes = b"") -> bytes:
    sizes = (len(head), len(head) + len(body))
    return b"HMSG a.b %d %s%d %d\r\n%s%s\r\n" % (sid, reply and reply + b" ", *sizes, head, body)


HEAD = b"NATS/1.0\r\nNats-Msg-Id: one\r\nLong:two: three\r\n\r\n"


async def test_everything_arrives_in_any_pieces() -> None:
    bodies = [b"", b"x", b"MSG a 7 1\r\n", b"\r\n" * 40, b"PING\r\n", bytes(range(256)) * 20]
    stream = b"".join(
        msg(TAKEN, body, b"re.ply") + b"PING\r\n" + msg(OTHER, body) + hmsg(TAKEN, HEAD, body) + b"PONG\r\n+OK\r\n"
        for body in bodies
    )
    stream += b'INFO {"server_id":"x"}\r\n' + hmsg(OTHER, HEAD, b"end", b"there")
    for seed in range(60):
        reader, driver, taken = read()
        dice, at = random.Random(seed), 0  # noqa: S311
        while at < len(stream):
            size = dice.choice((1, 2, 7, 60, 900, 40_000))
            await reader.parse(stream[at : at + size])
            at += size
        assert [each.data for each in taken] == [body for body in bodies for _ in range(2)]
        assert [each.reply for each in taken] == ["re.ply", ""] * len(bodies)
        expected: list[Any] = []
        for body in bodies:
            expected += ["ping", (OTHER, b"a.b", b"", body, None), "pong"]
        assert driver.said == [*expected, {"server_id": "x"}, (OTHER, b"a.b", b"there", b"end", HEAD)]


async def test_headers_and_the_words_of_the_server_are_told_apart() -> None:
    reader, _, taken = read()
    status = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n"
    await reader.parse(msg(TAKEN, b"x") + hmsg(TAKEN, HEAD, b"y") + hmsg(TAKEN, status, b""))
    bare, headed, said = taken
    assert (bare.bare, bare.headers, bare.status) == (True, {}, "")
    assert (headed.bare, headed.headers, headed.status) == (False, {"Nats-Msg-Id": "one", "Long": "two: three"}, "")
    assert (said.status, said.headers) == ("408", {"Nats-Pending-Messages": "3"})


async def test_a_connection_that_ended_leaves_nothing_behind() -> None:
    reader, driver, taken = read()
    driver.at_error = reader.reset  # as the driver does when it connects again
    await reader.parse(b"-ERR 'stale connection'\r\n" + msg(TAKEN, b"of the old connection"))
    await reader.parse(msg(TAKEN, b"of the new one"))
    assert [each.data for each in taken] == [b"of the new one"]


@pytest.mark.parametrize(
    "line", [b"MSG a.b seven 1\r\n", b"MSG 1\r\n", b"HMSG a 7 1\r\n", b"HMSG a 7 9 1\r\n", b"WHAT\r\n"]
)
async def test_what_is_no_protocol_is_said_to_the_driver(line: bytes) -> None:
    reader, _, _ = read()
    with pytest.raises(ProtocolError):
        await reader.parse(line)


async def test_deliveries_say_where_they_stand() -> None:
    message = Delivered("a", "$JS.ACK.S.C.2.30.4.1700000000000000000.5", b"", b"")
    assert (message.metadata.num_delivered, message.metadata.sequence.stream) == (2, 30)


async def test_bytes_that_are_no_text_do_not_end_the_reading() -> None:
    reader, driver, taken = read()
    await reader.parse(b"MSG a.\xff %d re.\xfe 1\r\nx\r\n" % TAKEN + b"MSG a.\xff %d 1\r\ny\r\n" % OTHER)
    await reader.parse(hmsg(TAKEN, b"NATS/1.0 \xff\xff\xff\r\n\r\n", b""))
    assert [(each.subject, each.reply) for each in taken[:1]] == [("a.\ufffd", "re.\ufffd")]
    assert driver.said == [(OTHER, "a.\ufffd".encode(), b"", b"y", None)]
    assert taken[1].status == "\ufffd" * 3


@pytest.mark.parametrize("head", [b"NATS/1.0 \xff\xff\xff no\r\n\r\n", b"NATS/1.0 404 \xff\r\n\r\n", b"NATS/1.0", b"N"])
async def test_headers_that_the_driver_cannot_read_do_not_end_its_reading(head: bytes) -> None:
    client = new_client()
    reader, got = Reader.of(client), asyncio.Queue[Msg]()
    sub = Subscription(client, OTHER, "a.b")
    sub._pending_queue = got
    client._subs[OTHER] = sub
    await reader.parse(hmsg(OTHER, head, b"") + msg(OTHER, b"the next one"))
    assert [got.get_nowait().data for _ in range(got.qsize())] == [b"the next one"]
