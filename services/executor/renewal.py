"""Changing to new keys when control wishes it: made here, announced over the old ones, used from a restart on.

Guests do not notice: the daemon stops as it always does, is executed again in its own place, and adopts them. Keys that
were announced when we were killed are announced again: control has them by then, and says so.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.daemon.logs import get_logger
from agentplane.enrolment.requests import AnnouncementReply, announcement
from agentplane.errors import AgentplaneError, Transient
from agentplane.ports import Bus
from services.executor.config import ExecutorSettings
from services.executor.identity import Identity, has_next, next_identity, promote, sign_as_next

log = get_logger()

_TIMEOUT_S: Final = 5.0


class Renewal:
    """One change of keys. `restart` is called when the new ones are in place."""

    def __init__(self, settings: ExecutorSettings, identity: Identity, bus: Bus, restart: Callable[[], None]) -> None:
        self._settings = settings
        self._identity = identity
        self._bus = bus
        self._restart = restart
        self._busy = False

    def wanted(self, asked: bool) -> bool:  # noqa: FBT001 - what a heartbeat's answer says
        """Whether there is something to do: control asks for new keys, or some were prepared before."""
        if asked and not self._identity.renewable:
            log.warning("control wishes new keys, but ours are given by configuration", code="rotation.configured")
            return False
        return not self._busy and self._identity.renewable and (asked or has_next(self._settings))

    async def renew(self) -> None:
        """Announce new keys and change to them; what fails is tried again at the next heartbeat."""
        self._busy = True
        try:
            await self._announce()
        except AgentplaneError as exc:
            self._busy = False
            log.warning("new keys cannot be announced", code=exc.code, reason=str(exc))

    async def _announce(self) -> None:
        signer, keys = next_identity(self._settings)
        request = announcement(self._identity.name, keys, self._identity.signer, signer, sign_as_next(self._settings))
        subject = subjects.next_key(self._identity.name)
        data = await self._bus.request(subject, msgspec.json.encode(request), timeout_s=_TIMEOUT_S)
        try:
            reply = msgspec.json.decode(data, type=AnnouncementReply)
        except msgspec.DecodeError as exc:
            raise Transient(f"control's answer is not one: {exc}", code="rotation.reply") from exc
        if not reply.accepted:
            raise Transient(reply.message, code=reply.code or "rotation.refused")
        promote(self._settings, self._identity.signer)
        log.info("changed to new keys; starting again", fingerprint=f"SHA256:{signer.key_id}")
        self._restart()
