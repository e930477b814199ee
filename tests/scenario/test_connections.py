"""Who is off the bus, and who has too much of it: control ends connections through its second key."""

from typing import Any, cast

import msgspec

from agentplane.ports import Bus
from services.control.connections import MOST, Connections


class Server:
    """nats-server's system account: who is connected, and whom it was told to end."""

    def __init__(self, *users: str) -> None:
        self._users = users
        self.ended: list[int] = []

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        assert timeout_s > 0
        if subject == "$SYS.REQ.SERVER.here.KICK":
            self.ended.append(msgspec.json.decode(data)["cid"])
            return b"{}"
        assert subject == "$SYS.REQ.SERVER.PING.CONNZ"
        connections = [{"cid": cid, "authorized_user": user} for cid, user in enumerate(self._users)]
        return msgspec.json.encode({"server": {"id": "here"}, "data": {"connections": connections[::-1]}})


def connections(server: Server) -> Connections:
    unused: Any = None
    return Connections(unused, cast("Bus", server), unused)


async def test_all_connections_of_a_barred_key_are_ended() -> None:
    server = Server("good", "barred", "other", "barred")
    assert await connections(server).end(frozenset({"barred"})) == 2
    assert sorted(server.ended) == [1, 3]


async def test_of_a_key_with_too_many_the_newest_are_ended_and_nobody_elses() -> None:
    server = Server(*["greedy"] * (MOST + 3), *["modest"] * MOST, "", "")
    assert await connections(server).end(frozenset()) == 3
    assert sorted(server.ended) == [MOST, MOST + 1, MOST + 2]


async def test_a_barred_key_with_too_many_is_ended_once() -> None:
    server = Server(*["barred"] * (MOST + 3))
    assert await connections(server).end(frozenset({"barred"})) == MOST + 3
    assert sorted(server.ended) == list(range(MOST + 3))
