"""At which events of the log an executor's keys came and went: told from its membership before and after one. Pure."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from agentplane.clock import rfc3339
from agentplane.enrolment.keys import encode_public
from agentplane.enrolment.model import Enrolment
from agentplane.evidence.key_history import ExecutorSpan, KeySpan
from agentplane.evidence.keys import TrustedKey


class KeyEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Sequences of events. A key that is not in `admitted` is given by configuration."""

    admitted: tuple[tuple[str, int], ...] = ()  # key id, event
    superseded: tuple[tuple[str, int], ...] = ()
    revoked: int | None = None


NO_EVENTS = KeyEvents()


def after(known: KeyEvents, before: Enrolment, now: Enrolment, sequence: int) -> KeyEvents:
    """What is known after the event that led from one membership to the other."""
    if before.keys == now.keys and before.revoked == now.revoked:
        return known
    newest = [key.key_id for key in now.keys[-1:] if before.key(key.key_id) is None]
    ended = [key.key_id for key in now.keys if key.until is not None and _went_on(before, key.key_id)]
    return replace(
        known,
        admitted=(*known.admitted, *((key_id, sequence) for key_id in newest)),
        superseded=(*known.superseded, *((key_id, sequence) for key_id in ended)),
        revoked=sequence if known.revoked is None and now.revoked is not None else known.revoked,
    )


def executor_span(name: str, enrolment: Enrolment, events: KeyEvents, declared: Iterable[TrustedKey]) -> ExecutorSpan:
    """All keys that an executor has, or had; `declared`: those that control's configuration names for it."""
    admitted, superseded = dict(events.admitted), dict(events.superseded)
    joined = [
        KeySpan(
            key_id=key.key_id,
            public_key=key.public_key,
            admitted=admitted.get(key.key_id, 0),
            superseded=superseded.get(key.key_id),
            until=None if key.until is None else rfc3339(key.until),
        )
        for key in enrolment.keys
    ]
    configured = [
        KeySpan(key_id=key.key_id, public_key=encode_public(key.public_key), admitted=0, superseded=None, until=None)
        for key in declared
        if enrolment.key(key.key_id) is None
    ]
    revoked = enrolment.revoked
    return ExecutorSpan(
        name=name,
        revoked=events.revoked,
        revoked_at=None if revoked is None else rfc3339(revoked.at),
        keys=(*configured, *joined),
    )


def _went_on(before: Enrolment, key_id: str) -> bool:
    known = before.key(key_id)
    return known is None or known.until is None
