"""Ends the bus connections of executors that may not be there any more: revoked, retired, or with keys rotated out.

nats-server asks who may connect when they connect, and never again. So whoever is connected is looked at whenever the
log bars somebody, and now and then besides, through control's second key of the system account.

Also ends what one key has beyond a number of connections that nobody needs: the bus takes so many in all, and one
tenant must not keep everybody else off it, ourselves included.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Transient
from agentplane.ports import Bus
from services.control.roster import Roster
from services.control.runtime import Runtime

log = get_logger()

_PERIOD_S: Final = 5.0
_TIMEOUT_S: Final = 5.0
_PAGE: Final = 10_000
MOST: Final = 250  # connections of one key: a quarter of what the bus takes by default


class _Server(msgspec.Struct):
    id: str


class _Connection(msgspec.Struct):
    cid: int
    authorized_user: str = ""


class _Data(msgspec.Struct):
    connections: tuple[_Connection, ...] = ()


class _Connz(msgspec.Struct):
    server: _Server
    data: _Data


class Connections:
    """Watches who is connected."""

    def __init__(self, runtime: Runtime, watcher: Bus, roster: Roster) -> None:
        """`watcher`: a connection with the key of the system account."""
        self._runtime = runtime
        self._watcher = watcher
        self._roster = roster
        self._swept: tuple[frozenset[str], datetime] | None = None

    async def run(self) -> None:
        """Look whenever the log moved and somebody new is barred, and every few seconds, until cancelled."""
        while True:
            barred, now = self._roster.barred(self._runtime.now()), self._runtime.now()
            if self._swept is None or self._swept[0] != barred or self._is_old(now):
                await self._sweep(barred, now)
            await self._runtime.moved(_PERIOD_S)

    def _is_old(self, now: datetime) -> bool:
        return self._swept is None or (now - self._swept[1]).total_seconds() >= _PERIOD_S

    async def _sweep(self, barred: frozenset[str], now: datetime) -> None:
        try:
            await self.end(barred)
            self._swept = (barred, now)
        except Transient as error:
            log.warning("who is connected cannot be seen", code=error.code, error=str(error))
            await asyncio.sleep(min(error.delay_s, _PERIOD_S))
        except AgentplaneError as error:
            log.error("connections cannot be ended", code=error.code, error=str(error))  # noqa: TRY400
            self._swept = (barred, now)

    async def end(self, barred: frozenset[str]) -> int:
        """End all connections of these keys, and those of others beyond `MOST`; how many. Raises Transient, Denied."""
        seen = await self._ask("$SYS.REQ.SERVER.PING.CONNZ", {"auth": True, "limit": _PAGE})
        try:
            connz = msgspec.json.decode(seen, type=_Connz)
        except msgspec.DecodeError as exc:
            raise Transient(f"not a list of connections: {exc}", code="bus.connections") from exc
        found = [each for each in connz.data.connections if each.authorized_user in barred]
        surplus = [each for each in _surplus(connz.data.connections) if each.authorized_user not in barred]
        for nkey in {each.authorized_user for each in surplus}:
            log.error("a key has too many connections; the newest are ended", nkey=nkey, most=MOST)
        for each in found:
            log.warning("connection ended", nkey=each.authorized_user, cid=each.cid)
        found += surplus
        for each in found:
            await self._ask(f"$SYS.REQ.SERVER.{connz.server.id}.KICK", {"cid": each.cid})
        return len(found)

    async def _ask(self, subject: str, question: dict[str, Any]) -> bytes:
        return await self._watcher.request(subject, msgspec.json.encode(question), timeout_s=_TIMEOUT_S)


def _surplus(connections: Iterable[_Connection]) -> list[_Connection]:
    """What each key has beyond `MOST`: the newest."""
    by_key: dict[str, list[_Connection]] = defaultdict(list)
    for each in connections:
        if each.authorized_user:
            by_key[each.authorized_user].append(each)
    return [each for those in by_key.values() for each in sorted(those, key=lambda each: each.cid)[MOST:]]
