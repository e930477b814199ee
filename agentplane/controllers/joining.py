"""Joining: who asks for a name, with a token or without, and what follows. Pure.

A name is given away once and never again, so that its journal, its keys and its evidence have one history. A token
lets in the first who shows it, under the name that it was made for; without one an operator compares fingerprints.
What a stranger asks is bounded before it becomes an event: so many may wait, and only tokens that exist are spoken of.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from agentplane.canonical import digest_bytes
from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.drafts import Draft, source_of
from agentplane.controllers.records import ExecutorRecord
from agentplane.controllers.state import ControlState
from agentplane.enrolment import facts
from agentplane.enrolment.facts import PublicKeys
from agentplane.enrolment.model import JoinToken
from agentplane.enrolment.requests import APPROVED, LEFT, PENDING, REFUSED, JoinReply, JoinRequest
from agentplane.runs.executors import executor_stream

MAX_WAITING: Final = 64  # strangers who wait for an operator, altogether
PATIENCE: Final = timedelta(hours=24)  # after which somebody who waits is forgotten

IsDeclared = Callable[[str], bool]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a request comes to."""

    reply: JoinReply
    token: JoinToken | None = None  # that it showed
    owner: str | None = None  # the name that the token was made for
    news: bool = False  # whether the log should know


def judge(state: ControlState, request: JoinRequest, is_declared: IsDeclared, now: datetime) -> Verdict:
    """Whether a request lets in, waits, or is refused, and with which code."""
    known = state.executor(request.name).enrolment
    if (key := known.key(request.keys.key_id)) is not None and key.nkey == request.keys.nkey:
        return _member(known.left)
    owner, token = _token(state, request)
    if request.token is not None:
        problem = _token_problem(owner, token, request, now)
        if problem:
            return Verdict(reply=_refused(*problem), token=token, owner=owner, news=token is not None)
    if problem := _name_problem(state, request, is_declared):
        return Verdict(reply=_refused(*problem), token=token, owner=owner, news=token is not None)
    if token is not None:
        return Verdict(reply=JoinReply(state=APPROVED), token=token, owner=owner, news=True)
    return _waiting(state, request, now)


def standing(state: ControlState, request: JoinRequest, key_ids: frozenset[str]) -> JoinReply:
    """Whether who asks was shut out, told to whoever proved one of its `key_ids` only. Nothing follows from it."""
    enrolment = state.executor(request.name).enrolment
    gone = enrolment.revoked or enrolment.retired
    if gone is None or request.keys.key_id not in key_ids:
        return JoinReply(state=APPROVED)
    return _refused(LEFT, f"{'revoked' if enrolment.revoked else 'retired'} {gone.words()}")


def decide(state: ControlState, request: JoinRequest, is_declared: IsDeclared, now: datetime) -> Decision:
    """The facts that follow from a request; nothing for one that was seen before."""
    verdict = judge(state, request, is_declared, now)
    if not verdict.news:
        return NOTHING
    if verdict.reply.state == REFUSED:
        return _remember_refusal(state, request, verdict, now)
    executor = state.executor(request.name)
    draft = _draft(executor, f"{request.keys.key_id}/{verdict.reply.state}", now)
    stream = executor_stream(request.name)
    if verdict.token is None:
        draft.add(stream, executor.version, facts.JOIN_REQUESTED, facts.JoinRequested(keys=request.keys))
    else:
        approved = facts.Approved(
            keys=request.keys,
            zone=verdict.token.zone,
            by=verdict.token.by,
            reason="showed its token",
            token_hash=verdict.token.token_hash,
        )
        draft.add(stream, executor.version, facts.APPROVED, approved)
    return draft.decision()


def token_hash(token: str) -> str:
    """`sha256:<hex>` of a token: what the log keeps of it."""
    return digest_bytes(token.encode())


def taken(state: ControlState, keys: PublicKeys) -> bool:
    """Whether one of these keys is, or was, an executor's."""
    return any(
        key.key_id == keys.key_id or key.nkey == keys.nkey
        for executor in state.all_executors()
        for key in executor.enrolment.keys
    )


def _member(left: bool) -> Verdict:  # noqa: FBT001 - private, one call
    if left:
        return Verdict(reply=_refused(LEFT, "this executor was retired or revoked; join under another name"))
    return Verdict(reply=JoinReply(state=APPROVED))


def _token(state: ControlState, request: JoinRequest) -> tuple[str | None, JoinToken | None]:
    if request.token is None:
        return None, None
    wanted = token_hash(request.token)
    found = (
        (executor.name, token)
        for executor in state.all_executors()
        for token in executor.enrolment.tokens
        if token.token_hash == wanted
    )
    return next(found, (None, None))


def _token_problem(
    owner: str | None, token: JoinToken | None, request: JoinRequest, now: datetime
) -> tuple[str, str] | None:
    if token is None:
        return "join.token-unknown", "nobody made this token here"
    if token.used_by is not None:
        return "join.token-used", "this token let somebody in before; it does so once"
    if now >= token.expires_at:
        return "join.token-expired", f"this token counted until {token.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if owner != request.name:
        return "join.token-name", "this token was made for another name"
    return None


def _name_problem(state: ControlState, request: JoinRequest, is_declared: IsDeclared) -> tuple[str, str] | None:
    executor = state.executor(request.name)
    if executor.enrolment.left:
        return "join.left", "an executor of this name was retired or revoked; its name is not given away again"
    if executor.enrolment.approved or executor.key_id or is_declared(request.name):
        return "join.name-taken", "an executor of this name has other keys; ask it to rotate them, or take another name"
    if taken(state, request.keys):
        return "join.key-taken", "these keys are another executor's; every executor makes its own"
    return None


def _waiting(state: ControlState, request: JoinRequest, now: datetime) -> Verdict:
    message = "an operator has to approve it"
    waiting = [
        (executor.name, each.key_id)
        for executor in state.all_executors()
        for each in executor.enrolment.pending
        if now - each.at < PATIENCE
    ]
    if (request.name, request.keys.key_id) in waiting:
        return Verdict(reply=JoinReply(state=PENDING, message=message))
    if len(waiting) >= MAX_WAITING:
        return Verdict(reply=_refused("join.full", f"{MAX_WAITING} are waiting already; ask with a token"))
    return Verdict(reply=JoinReply(state=PENDING, message=message), news=True)


def _remember_refusal(state: ControlState, request: JoinRequest, verdict: Verdict, now: datetime) -> Decision:
    # on the stream of the token's own executor: the other name is a stranger's word
    executor = state.executor(verdict.owner or request.name)
    draft = Draft(
        "joining",
        source_of(f"join/{executor.name}/{request.keys.key_id}/{request.name}/{verdict.reply.code}"),
        correlation_id=source_of(f"executor/{executor.name}"),
        now=now,
    )
    refused = facts.JoinRefused(
        code=verdict.reply.code, message=verdict.reply.message, name=request.name, keys=request.keys
    )
    draft.add(executor_stream(executor.name), executor.version, facts.JOIN_REFUSED, refused)
    return draft.decision()


def _draft(executor: ExecutorRecord, what: str, now: datetime) -> Draft:
    name = source_of(f"executor/{executor.name}")
    source = source_of(f"join/{executor.name}/{executor.version}/{what}")
    return Draft("joining", source, correlation_id=name, causation_id=executor.last_event, now=now)


def _refused(code: str, message: str) -> JoinReply:
    return JoinReply(state=REFUSED, code=code, message=message)
