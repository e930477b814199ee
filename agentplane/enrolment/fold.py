"""Folding the facts about membership: (enrolment, event) -> enrolment.

The same for control and for read models. Pure.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from agentplane.enrolment import facts
from agentplane.enrolment.model import Change, EnrolledKey, Enrolment, JoinToken, Pending, Rotation, Skew
from agentplane.events.codec import payload
from agentplane.events.model import Event

MAX_PENDING: Final = 8  # who ask for one name: the newest
_KEPT_TOKENS: Final = timedelta(days=7)  # after their end; then nobody asks any more what became of them

Step = Callable[[Enrolment, Event], Enrolment]


def applies(event: Event) -> bool:
    """Whether an event of an executor's stream is about its membership."""
    return event.type in STEPS


def apply(enrolment: Enrolment, event: Event) -> Enrolment:
    """The membership after one more fact; another event changes nothing.

    Raises:
        Refused: code `event.payload`: a known type whose data cannot be read.
    """
    step = STEPS.get(event.type)
    return step(enrolment, event) if step else enrolment


def _token_created(known: Enrolment, event: Event) -> Enrolment:
    said = payload(event, facts.TokenCreated)
    token = JoinToken(token_hash=said.token_hash, expires_at=said.expires_at, zone=said.zone, by=said.by)
    kept = tuple(each for each in known.tokens if each.expires_at + _KEPT_TOKENS > event.time)
    return replace(known, tokens=(*kept, token))


def _join_requested(known: Enrolment, event: Event) -> Enrolment:
    keys = payload(event, facts.JoinRequested).keys
    others = tuple(each for each in known.pending if each.key_id != keys.key_id)
    asking = Pending(key_id=keys.key_id, public_key=keys.public_key, nkey=keys.nkey, at=event.time)
    return replace(known, pending=(*others, asking)[-MAX_PENDING:])


def _approved(known: Enrolment, event: Event) -> Enrolment:
    said = payload(event, facts.Approved)
    tokens = tuple(
        replace(each, used_by=said.keys.key_id) if each.token_hash == said.token_hash else each for each in known.tokens
    )
    return replace(
        known,
        keys=(*known.keys, _enrolled(said.keys, event)),
        pending=(),
        tokens=tokens,
        zone=said.zone,
        approved=Change(by=said.by, reason=said.reason, at=event.time),
    )


def _enrolled(keys: facts.PublicKeys, event: Event) -> EnrolledKey:
    return EnrolledKey(key_id=keys.key_id, public_key=keys.public_key, nkey=keys.nkey, since=event.time)


def _key_announced(known: Enrolment, event: Event) -> Enrolment:
    said = payload(event, facts.KeyAnnounced)
    before = known.key(said.previous.key_id) or _enrolled(said.previous, event)
    others = tuple(each for each in known.keys if each.key_id != before.key_id)
    ended = tuple(replace(each, until=said.until) if each.until is None else each for each in others)
    keys = (*ended, replace(before, until=said.until), _enrolled(said.keys, event))
    return replace(known, keys=keys, rotation=None)


def _change(event: Event) -> Change:
    said = payload(event, facts.Changed)
    return Change(by=said.by, reason=said.reason, at=event.time)


def _draining(known: Enrolment, event: Event) -> Enrolment:
    return replace(known, draining=_change(event))


def _resumed(known: Enrolment, _event: Event) -> Enrolment:
    return replace(known, draining=None)


def _retired(known: Enrolment, event: Event) -> Enrolment:
    return replace(known, retired=_change(event), rotation=None)


def _revoked(known: Enrolment, event: Event) -> Enrolment:
    return replace(known, revoked=_change(event), rotation=None)


def _rotation_started(known: Enrolment, event: Event) -> Enrolment:
    said = payload(event, facts.RotationStarted)
    return replace(known, rotation=Rotation(overlap_s=said.overlap_s, by=said.by, at=event.time))


def _clock_off(known: Enrolment, event: Event) -> Enrolment:
    said = payload(event, facts.ClockOff)
    return replace(known, clock=Skew(skew_s=said.skew_s, limit_s=said.limit_s, at=event.time))


def _clock_right(known: Enrolment, _event: Event) -> Enrolment:
    return replace(known, clock=None)


def _nothing(known: Enrolment, _event: Event) -> Enrolment:
    return known


STEPS: Final[dict[str, Step]] = {
    facts.TOKEN_CREATED: _token_created,
    facts.JOIN_REQUESTED: _join_requested,
    facts.JOIN_REFUSED: _nothing,
    facts.APPROVED: _approved,
    facts.KEY_ANNOUNCED: _key_announced,
    facts.DRAINING: _draining,
    facts.RESUMED: _resumed,
    facts.RETIRED: _retired,
    facts.REVOKED: _revoked,
    facts.ROTATION_STARTED: _rotation_started,
    facts.CLOCK_OFF: _clock_off,
    facts.CLOCK_RIGHT: _clock_right,
    # what operators wished stands before what became of it
    facts.TOKEN_REQUESTED: _nothing,
    facts.APPROVAL_REQUESTED: _nothing,
    facts.DRAIN_REQUESTED: _nothing,
    facts.RESUME_REQUESTED: _nothing,
    facts.RETIREMENT_REQUESTED: _nothing,
    facts.REVOCATION_REQUESTED: _nothing,
    facts.ROTATION_REQUESTED: _nothing,
}
