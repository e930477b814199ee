"""The door: who may connect to the bus, who asks to join, whose keys are next. Judgement is in the controllers.

Answers come from the state as of now, caught up with the log first, so what another control process decided counts
here as well. What strangers ask is bounded: refusals that the log should know are stored at a limited rate.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from agentplane.bus import callout
from agentplane.bus.callout import Issuer
from agentplane.controllers import joining, rotation
from agentplane.controllers.decision import Decision
from agentplane.controllers.state import ControlState
from agentplane.daemon.logs import get_logger
from agentplane.enrolment.requests import (
    APPROVED,
    REFUSED,
    AnnouncementReply,
    JoinReply,
    JoinRequest,
    KeyAnnouncement,
    read_announcement,
    read_join_request,
)
from agentplane.errors import AgentplaneError, Denied, Refused, Transient
from agentplane.ports import Bus
from services.control.roster import Roster
from services.control.runtime import Runtime

log = get_logger()

JOINS: Final = "agentplane-join.*.request"
NEXT_KEYS: Final = "agentplane-executor.*.key"
_REFRESH_S: Final = 0.25
_NEWS_A_MINUTE: Final = 60  # of strangers, in the log


class Door:
    """Answers on the bus until it is closed."""

    def __init__(self, runtime: Runtime, bus: Bus, roster: Roster, issuer: Issuer | None) -> None:
        """`issuer`: signs who may connect; None: the bus's own configuration says that alone."""
        self._runtime = runtime
        self._bus = bus
        self._roster = roster
        self._issuer = issuer
        self._news: list[datetime] = []

    async def open(self) -> None:
        """Answer from now on."""
        await self._bus.respond(NEXT_KEYS, self.next_key, queue="control")
        if self._issuer is not None:
            await self._bus.respond(callout.SUBJECT, self.admit, queue="control")
            await self._bus.respond(JOINS, self.join, queue="control")

    async def admit(self, _subject: str, data: bytes) -> bytes:
        """Whether the bus should let somebody connect, and what they may do. Raises Refused: no answer can be made."""
        if self._issuer is None:
            raise Refused("no issuer is configured", code="callout.off")
        await self._runtime.refresh(_REFRESH_S)
        now = self._runtime.now()
        caller = callout.opened(data)
        try:
            user = self._roster.user(caller.nkey, now)
        except Denied as denied:
            log.warning("not let onto the bus", nkey=caller.nkey, host=caller.host, code=denied.code, why=str(denied))
            return self._issuer.deny(caller, denied.code, now)
        return self._issuer.allow(caller, user, now)

    async def join(self, subject: str, data: bytes) -> bytes:
        """Answer one who asks to join."""
        try:
            request = read_join_request(subject, data)
            reply = await self._join(request)
        except AgentplaneError as error:
            log.warning("cannot join", subject=subject, code=error.code, error=str(error))
            reply = JoinReply(state=REFUSED, code=error.code, message=error.message)
        return msgspec.json.encode(reply)

    async def _join(self, request: JoinRequest) -> JoinReply:
        await self._runtime.refresh(_REFRESH_S)
        state, now = self._runtime.state, self._runtime.now()
        if request.standing:
            return joining.standing(state, request, self._roster.standing(request.name).key_ids)
        verdict = joining.judge(state, request, self._roster.is_declared, now)
        said = verdict.reply
        if verdict.news and (verdict.reply.state == APPROVED or self._may_say(now)):  # tokens are few, strangers not
            await self._runtime.settle(self._joining(request))
            said = joining.judge(self._runtime.state, request, self._roster.is_declared, self._runtime.now()).reply
            said = verdict.reply if verdict.reply.state == REFUSED else said
        elif verdict.news and verdict.reply.state != REFUSED:
            raise Transient("too many ask at once; ask again in a minute", code="join.busy")
        log.info("asked to join", executor=request.name, key=request.keys.key_id, state=said.state, code=said.code)
        return said

    def _joining(self, request: JoinRequest) -> Callable[[ControlState, datetime], Decision]:
        def decide(state: ControlState, now: datetime) -> Decision:
            return joining.decide(state, request, self._roster.is_declared, now)

        return decide

    def _may_say(self, now: datetime) -> bool:
        self._news = [each for each in self._news if now - each < timedelta(minutes=1)]
        if len(self._news) >= _NEWS_A_MINUTE:
            return False
        self._news.append(now)
        return True

    async def next_key(self, subject: str, data: bytes) -> bytes:
        """Answer an executor that announces its next keys."""
        try:
            request = read_announcement(subject, data)
            await self._runtime.refresh(_REFRESH_S)
            await self._runtime.settle(self._rotation(request))
            reply = AnnouncementReply(accepted=True)
        except AgentplaneError as error:
            log.warning("next keys not taken", subject=subject, code=error.code, error=str(error))
            reply = AnnouncementReply(accepted=False, code=error.code, message=error.message)
        return msgspec.json.encode(reply)

    def _rotation(self, request: KeyAnnouncement) -> Callable[[ControlState, datetime], Decision]:
        def decide(state: ControlState, now: datetime) -> Decision:
            return rotation.decide(state, request, self._roster.trusted(), now)

        return decide
