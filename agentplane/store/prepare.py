"""Admission: what an event must be before it may be stored, whatever the store. Pure: `now` is an argument."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from agentplane.bus.subjects import event_subject
from agentplane.clock import EARLIEST
from agentplane.errors import Refused
from agentplane.events.digest import around, digest_between, encode_data
from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.events.secrets import find_secrets, may_hold_secret
from agentplane.evidence.dsse import MAX_ENVELOPE_BYTES
from agentplane.store import rows
from agentplane.store.entry import Prepared, Request, Single, Unchecked

MAX_DATA_BYTES: Final = MAX_ENVELOPE_BYTES + 48 * 1024  # a report of an executor, and where it belongs
MAX_AHEAD: Final = timedelta(minutes=5)  # clocks differ; a claim about the future is another thing
MAX_TEXT: Final = 253


class _Names(msgspec.Struct, frozen=True, gc=False):
    """What many events have in common, in the two forms that are written."""

    before: bytes  # of the body (agentplane.events.digest.around)
    after: bytes
    row: bytes  # agentplane.store.rows.named


def prepare(appends: tuple[Append, ...], now: datetime) -> Single | Request:
    """Check every event of one call.

    Raises:
        Refused: `store.secret`, `store.too-large`, `store.future`, `store.name`, `store.stream`, `event.data`,
            `event.time`, `subject.token`, `subject.type`.
    """
    latest = now + MAX_AHEAD
    if len(appends) == 1 and len(events := appends[0].events) == 1:
        return Single(appends[0], _prepared(appends[0].stream, events[0], latest))
    return Unchecked(appends, latest, _prepared).whole()


def prepare_later(appends: tuple[Append, ...], now: datetime) -> Unchecked:
    """The same call, not checked yet."""
    return Unchecked(appends, now + MAX_AHEAD, _prepared)


def _prepared(stream: StreamId, event: Event, latest: datetime) -> Prepared:
    if event.stream is not stream and event.stream != stream:
        raise _refusal(event, f"it belongs to {event.stream}, not to {stream}", "store.stream")
    _check_time(event, latest)
    names = _names(stream, event.phase, event.type, event.type_version, event.actor)
    if isinstance(names, str):
        raise _refusal(event, names, "store.name")
    data = encode_data(event.data)
    if len(data) > MAX_DATA_BYTES:
        message = f"its data are {len(data)} bytes; at most {MAX_DATA_BYTES} are stored"
        raise _refusal(event, message, "store.too-large", "store a digest, and the content as an artifact")
    if may_hold_secret(data):
        _check_secrets(event)
    digest = digest_between(names.before, names.after, event, data)
    return Prepared(event, data, digest, rows.tail(event, names.row, data, digest))


def _check_time(event: Event, latest: datetime) -> None:
    if event.time.tzinfo is None:
        raise _refusal(event, "its time has no offset", "event.time")
    if event.time < EARLIEST:  # a clock west of Greenwich could not show it
        raise _refusal(event, f"its time is before {EARLIEST:%-d %B} of year 1", "event.time")
    if event.time > latest:
        raise _refusal(event, "its time is more than 5 minutes ahead of ours", "store.future", "compare the clocks")


@lru_cache(maxsize=8192)
def _names(stream: StreamId, phase: Phase, type_: str, type_version: int, actor: str) -> _Names | str:
    """The names of an event as they are written, or what is wrong; the same few are asked about again and again."""
    for what, text in (("namespace", stream.namespace), ("name", stream.name), ("actor", actor)):
        if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
            return f"its {what} must be 1 to {MAX_TEXT} printable characters"
    if not 0 < type_version < 2**31:
        return "its type_version must be a positive 32-bit integer"
    # an event that no subject can carry would stop the relay for ever
    event_subject(stream.tenant, phase, stream.kind, type_)
    before, after = around(stream, phase, type_, type_version, actor)
    return _Names(before, after, rows.named(stream, phase, type_, type_version, actor))


def _check_secrets(event: Event) -> None:
    found = find_secrets(event.data)
    if found:
        places = ", ".join(f"{secret.path} ({secret.shape})" for secret in found)
        hint = "keep the value in a secret store and write a handle: secret://NAME"
        raise _refusal(event, f"something that looks like a secret stands in {places}", "store.secret", hint)


def _refusal(event: Event, message: str, code: str, hint: str | None = None) -> Refused:
    return Refused(message, code=code, where=f"event {event.id} ({event.type})", hint=hint)
