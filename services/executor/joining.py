"""Getting onto the bus: connecting however long it takes, asking to join where nobody knows us yet.

A key that the bus knows as an executor's may not ask to join: that refusal is how a member learns that it is one.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.bus.nats import NatsBus
from agentplane.daemon.bus import connect
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import get_logger
from agentplane.enrolment.requests import APPROVED, PENDING, JoinReply, join_request
from agentplane.errors import AgentplaneError, Denied, Refused, Transient
from services.executor.config import ExecutorSettings
from services.executor.identity import Identity

log = get_logger()

_TIMEOUT_S: Final = 5.0
_PENDING_S: Final = 2.0
_REFUSED_S: Final = 30.0
_DENIED_S: Final = 2.0
_MAX_TOKEN_BYTES: Final = 200


class Entrance:
    """Comes back with a connection that may do what an executor does, or with none when told to stop."""

    def __init__(self, settings: ExecutorSettings, identity: Identity, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._identity = identity
        self._lifecycle = lifecycle
        self._told = ""

    async def enter(self) -> NatsBus | None:
        """Connect, and join unless we are a member; None when told to stop meanwhile."""
        while not self._lifecycle.stopping.is_set():
            if (bus := await self._connected()) is None:
                return None
            if not self._settings.own_nkey or await self._is_member(bus):
                return bus
            await bus.close()
        return None

    async def _connected(self) -> NatsBus | None:
        while not self._lifecycle.stopping.is_set():
            try:
                return await connect(self._settings.nats, f"executor {self._settings.name}")
            except Transient as exc:
                self._tell("NATS is away; guests run on without us meanwhile", exc)
                self._lifecycle.waiting(f"the bus is away: {exc}")
                await self._pause(exc.delay_s)
            except Denied as exc:
                if exc.code != "bus.denied":
                    raise
                self._tell("the bus does not let us in: control is away, or this executor was revoked", exc)
                self._lifecycle.waiting(f"the bus does not let us in: {exc}")
                await self._pause(_DENIED_S)
        return None

    async def _is_member(self, bus: NatsBus) -> bool:
        """True: this connection is an executor's. False: connect again. Asks, and waits while an operator looks."""
        while not self._lifecycle.stopping.is_set():
            try:
                reply = await self._ask(bus)
            except Denied as exc:
                if exc.code == "bus.denied":
                    log.info("a member already, which may not ask to join", executor=self._identity.name)
                    return True
                raise
            except AgentplaneError as exc:
                self._tell("cannot ask to join", exc)
                await self._pause(_DENIED_S)
                return False
            if reply.state == APPROVED:
                log.info("joined", executor=self._identity.name, fingerprint=self._identity.fingerprint)
                return False
            await self._wait(reply)
        return False

    async def _wait(self, reply: JoinReply) -> None:
        words = f"{reply.state}: {reply.message}"
        self._lifecycle.waiting(f"joining, {words} ({self._identity.fingerprint})")
        self._tell("asks to join", Refused(words, code=reply.code or "join.pending"))
        await self._pause(_PENDING_S if reply.state == PENDING else _REFUSED_S)

    async def _ask(self, bus: NatsBus) -> JoinReply:
        token_file = self._settings.join.token_file
        request = join_request(
            self._identity.name,
            self._identity.keys,
            self._identity.signer,
            await asyncio.to_thread(_token, token_file) if token_file else None,
        )
        subject = subjects.join(self._identity.keys.nkey)
        data = await bus.request(subject, msgspec.json.encode(request), timeout_s=_TIMEOUT_S)
        try:
            return msgspec.json.decode(data, type=JoinReply)
        except msgspec.DecodeError as exc:
            raise Transient(f"control's answer is not one: {exc}", code="join.reply") from exc

    def _tell(self, what: str, error: AgentplaneError) -> None:
        """Once, not at every attempt."""
        if self._told != error.code:
            self._told = error.code
            log.warning(what, code=error.code, reason=str(error), fingerprint=self._identity.fingerprint)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._lifecycle.stopping.wait(), seconds)
        except TimeoutError:
            return


def _token(path: Path) -> str | None:
    """The token in a file; None where there is no file (any more): an operator may approve us as well."""
    try:
        return path.read_text(encoding="ascii")[:_MAX_TOKEN_BYTES].strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused("cannot be read", code="join.token-file", where=str(path)) from exc
