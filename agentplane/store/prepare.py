"""Admission: what an event must be before it may be stored, whatever the store. Pure: `now` is an argument."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from agentplane.bus.subjects import event_subject
from agentplane.errors import Refused
from agentplane.events.digest import body_digest, encode_data
from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.events.secrets import find_secrets, may_hold_secret
from agentplane.evidence.dsse import MAX_ENVELOPE_BYTES

MAX_DATA_BYTES: Final = MAX_ENVELOPE_BYTES + 48 * 1024  # a report of an executor, and where it belongs
MAX_AHEAD: Final = timedelta(minutes=5)  # clocks differ; a claim about the future is another thing
MAX_TEXT: Final = 253


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """An event that may be stored, with the bytes that will be."""

    event: Event
    data: bytes  # canonical JSON
    digest: bytes  # 32 bytes, of the body
    tail: bytes = b""  # what the store writes after the event's place, if it can say so beforehand


Encode = Callable[[Event, bytes, bytes], bytes]


class Request(msgspec.Struct, frozen=True, gc=False):
    """One call of `append`: all of it is stored, or nothing."""

    appends: tuple[Append, ...]
    prepared: tuple[tuple[Prepared, ...], ...]  # as appends[i].events


class Unchecked(msgspec.Struct, frozen=True, gc=False):
    """A large call, to be checked when its turn comes: event by event, while the database takes those before."""

    appends: tuple[Append, ...]
    latest: datetime
    encode: Encode | None = None

    def check(self) -> Request:
        """All of it at once. Raises Refused as `prepare`."""
        latest, encode = self.latest, self.encode
        return Request(
            self.appends,
            tuple([tuple([_prepared(a.stream, event, latest, encode) for event in a.events]) for a in self.appends]),
        )

    def check_one(self, stream: StreamId, event: Event) -> Prepared:
        """One of its events. Raises Refused as `prepare`."""
        return _prepared(stream, event, self.latest, self.encode)


def prepare(appends: tuple[Append, ...], now: datetime, encode: Encode | None = None) -> Request:
    """Check every event of one call. `encode`: yields the `tail` of what may be stored.

    Raises:
        Refused: `store.secret`, `store.too-large`, `store.future`, `store.name`, `store.stream`, `event.data`,
            `event.time`, `subject.token`, `subject.type`.
    """
    if len(appends) == 1 and len(appends[0].events) == 1:  # most calls
        only = appends[0]
        return Request(appends, ((_prepared(only.stream, only.events[0], now + MAX_AHEAD, encode),),))
    return Unchecked(appends, now + MAX_AHEAD, encode).check()


def prepare_later(appends: tuple[Append, ...], now: datetime, encode: Encode | None = None) -> Unchecked:
    """The same call, not checked yet."""
    return Unchecked(appends, now + MAX_AHEAD, encode)


def _prepared(stream: StreamId, event: Event, latest: datetime, encode: Encode | None) -> Prepared:
    _check_envelope(stream, event, latest)
    data = encode_data(event.data)
    if len(data) > MAX_DATA_BYTES:
        message = f"its data are {len(data)} bytes; at most {MAX_DATA_BYTES} are stored"
        raise _refusal(event, message, "store.too-large", "store a digest, and the content as an artifact")
    if may_hold_secret(data):
        _check_secrets(event)
    digest = body_digest(event, data)
    return Prepared(event, data, digest, b"" if encode is None else encode(event, data, digest))


def _check_envelope(stream: StreamId, event: Event, latest: datetime) -> None:
    if event.stream != stream:
        raise _refusal(event, f"it belongs to {event.stream}, not to {stream}", "store.stream")
    if event.time.tzinfo is None:
        raise _refusal(event, "its time has no offset", "event.time")
    if event.time > latest:
        raise _refusal(event, "its time is more than 5 minutes ahead of ours", "store.future", "compare the clocks")
    wrong = _wrong_name(stream, event.phase, event.type, event.type_version, event.actor)
    if wrong is not None:
        raise _refusal(event, wrong, "store.name")


@lru_cache(maxsize=8192)
def _wrong_name(stream: StreamId, phase: Phase, type_: str, type_version: int, actor: str) -> str | None:
    """What is wrong with the names of an event, if anything; the same few are asked about again and again."""
    for what, text in (("namespace", stream.namespace), ("name", stream.name), ("actor", actor)):
        if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
            return f"its {what} must be 1 to {MAX_TEXT} printable characters"
    if not 0 < type_version < 2**31:
        return "its type_version must be a positive 32-bit integer"
    # an event that no subject can carry would stop the relay for ever
    event_subject(stream.tenant, phase, stream.kind, type_)
    return None


def _check_secrets(event: Event) -> None:
    found = find_secrets(event.data)
    if found:
        places = ", ".join(f"{secret.path} ({secret.shape})" for secret in found)
        hint = "keep the value in a secret store and write a handle: secret://NAME"
        raise _refusal(event, f"something that looks like a secret stands in {places}", "store.secret", hint)


def _refusal(event: Event, message: str, code: str, hint: str | None = None) -> Refused:
    return Refused(message, code=code, where=f"event {event.id} ({event.type})", hint=hint)
