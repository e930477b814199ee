"""Events that were recorded against events that would be written now. Pure.

Ids and times follow from what was decided, versions and `decided` from who decided; signatures from a key that no check
has. All of them are left out, and everything else is compared.
"""

import base64
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from agentplane.errors import Refused
from agentplane.events.digest import encode_data
from agentplane.events.model import Append, Event, StoredEvent
from agentplane.events.upcasting import Upcasters
from agentplane.history.differences import Change, differences

_WHO: Final = frozenset({"decided", "controllerVersion"})
_ENVELOPE: Final = frozenset({"payload", "payloadType", "signatures"})


def changes(recorded: Iterable[StoredEvent], now: Iterable[Event], upcasters: Upcasters) -> tuple[Change, ...]:
    """What differs, by event and field; nothing: the decisions are the same."""
    then = [_current(stored, upcasters) for stored in recorded]
    return differences(_document(then), _document(now))


def events_of(appends: Iterable[Append], kinds: frozenset[str] | None = None) -> list[Event]:
    """All events of a decision; with `kinds` only those on streams of these kinds."""
    return [event for each in appends for event in each.events if kinds is None or event.stream.kind in kinds]


def _current(stored: StoredEvent, upcasters: Upcasters) -> Event:
    try:
        return upcasters.current(stored).event
    except Refused:
        return stored.event


def _document(events: Iterable[Event]) -> dict[str, Any]:
    seen: Counter[str] = Counter()
    found: dict[str, Any] = {}
    for event in events:
        name = f"{event.stream.kind}/{event.stream.name} {event.type}"
        seen[name] += 1
        place = name if seen[name] == 1 else f"{name} #{seen[name]}"
        found[place] = {
            "phase": str(event.phase),
            "data": _data(event),
        }
    return found


def _data(event: Event) -> Any:  # noqa: ANN401 - JSON
    """The data as they are stored; of what no store would take (a fraction), why it would not."""
    try:
        return _plain(msgspec.json.decode(encode_data(event.data)), top=True)
    except Refused as refused:
        return {"refused": refused.code}


def _plain(value: Any, *, top: bool = False) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        if value.keys() == _ENVELOPE:
            return _opened(value)
        left_out = _WHO if top else frozenset[str]()
        plain = {name: _plain(inner) for name, inner in value.items() if name not in left_out}
        if "policyDigest" in plain and "bundleDigest" in plain:
            del plain["policyDigest"]  # an input: recorded rules leave other tenants' names out
        return plain
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _opened(envelope: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    try:
        return {"payload": msgspec.json.decode(base64.b64decode(str(envelope["payload"])))}
    except (ValueError, msgspec.DecodeError):
        return {"payload": envelope["payload"]}
