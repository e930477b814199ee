"""Events as CloudEvents 1.0 in structured JSON mode. Pure.

Source: CloudEvents 1.0.2 (core and JSON format) and its documented extensions sequence, correlation
(`correlationid`, `causationid`) and recorded time (`recordedtime`). Attribute names are lower-case alphanumerics, as
the specification demands; `sequence` is a string of 19 digits, because integers are 32 bits there and sequences must
sort as text. Unknown extensions are ignored, as the specification asks of receivers.
"""

import json
import uuid
from datetime import datetime
from typing import Any, Final, NoReturn

import msgspec
import orjson

from agentplane.clock import parse_rfc3339, rfc3339
from agentplane.errors import Refused
from agentplane.events.digest import MAX_DEPTH, encode_data
from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.ids import EventId

MAX_BYTES: Final = 1152 * 1024  # more than the store takes (agentplane.store.prepare); the attributes are small
MAX_TEXT: Final = 512
SEQUENCE_DIGITS: Final = 19


class _Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON form; every attribute a string or an integer, as CloudEvents types them."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    tenant: str
    phase: str
    kind: str
    namespace: str
    name: str
    actor: str
    correlationid: str
    data: dict[str, Any]
    datacontenttype: str = "application/json"
    subject: str = ""
    typeversion: int = 1
    causationid: str | None = None
    sequence: str | None = None
    streamversion: int | None = None
    recordedtime: str | None = None


def encode(event: Event | StoredEvent) -> bytes:
    """CloudEvents JSON of an event; of a stored one with `sequence`, `streamversion` and `recordedtime`.

    Raises:
        Refused: code `event.data`: the data have no canonical form.
    """
    return orjson.dumps(attributes(event))


def attributes(event: Event | StoredEvent) -> dict[str, Any]:
    """The CloudEvents attributes and `data` (an `orjson.Fragment` of canonical bytes) in the order people read them."""
    inner = event.event if isinstance(event, StoredEvent) else event
    result = _envelope(inner)
    if isinstance(event, StoredEvent):
        result["sequence"] = f"{event.sequence:0{SEQUENCE_DIGITS}d}"
        result["streamversion"] = event.stream_version
        result["recordedtime"] = rfc3339(event.recorded_at)
    result["data"] = orjson.Fragment(encode_data(inner.data))
    return result


def _envelope(event: Event) -> dict[str, Any]:
    stream = event.stream
    result: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": f"/agentplane/{stream.tenant}",
        "type": event.type,
        "typeversion": event.type_version,
        "subject": f"{stream.kind}/{stream.namespace}/{stream.name}",
        "time": rfc3339(event.time),
        "datacontenttype": "application/json",
        "tenant": stream.tenant,
        "phase": str(event.phase),
        "kind": stream.kind,
        "namespace": stream.namespace,
        "name": stream.name,
        "actor": event.actor,
        "correlationid": str(event.correlation_id),
    }
    if event.causation_id is not None:
        result["causationid"] = str(event.causation_id)
    return result


def decode(body: bytes) -> Event:
    """The event in a CloudEvents JSON body; what a store added is checked and dropped.

    Raises:
        Refused: codes `cloudevent.too-large`, `cloudevent.json` (line and column), `cloudevent.attribute` (named),
            `event.data`.
    """
    return _event(_attributes(body))


def decode_stored(body: bytes) -> StoredEvent:
    """A stored event in a CloudEvents JSON body. Raises Refused as `decode`, also when its place is missing."""
    found = _attributes(body)
    if found.sequence is None or found.streamversion is None or found.recordedtime is None:
        raise _refusal("sequence, streamversion and recordedtime are required of a stored event")
    if not (found.sequence.isascii() and found.sequence.isdigit() and len(found.sequence) <= SEQUENCE_DIGITS):
        raise _refusal("sequence must be a string of decimal digits")
    return StoredEvent(
        event=_event(found),
        sequence=int(found.sequence),
        stream_version=found.streamversion,
        recorded_at=_moment(found.recordedtime, "recordedtime"),
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an event in this form; `sequence` and what follows it only when it is stored."""
    (root,), definitions = msgspec.json.schema_components([_Attributes], ref_template="#/$defs/{name}")
    schema = definitions[root["$ref"].rpartition("/")[2]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Event",
        "description": "An event as CloudEvents 1.0 in structured JSON mode.",
    }


def _attributes(body: bytes) -> _Attributes:
    if len(body) > MAX_BYTES:
        raise Refused(f"{len(body)} bytes; at most {MAX_BYTES} are read", code="cloudevent.too-large")
    try:
        document = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
        found = msgspec.convert(document, _Attributes, strict=True)
    except msgspec.ValidationError as exc:
        raise _refusal(str(exc)) from exc
    except json.JSONDecodeError as exc:
        raise _not_json(f"{exc.msg} at line {exc.lineno} column {exc.colno}") from exc
    except RecursionError as exc:
        raise _not_json(f"nested deeper than {MAX_DEPTH}") from exc
    except ValueError as exc:  # not UTF-8, or an integer of thousands of digits
        raise _not_json(str(exc)[:200]) from exc
    _check_text(found)
    encode_data(found.data)
    return found


def _check_text(found: _Attributes) -> None:
    if found.specversion != "1.0":
        raise _refusal("specversion must be 1.0")
    if not found.datacontenttype.startswith("application/json"):
        raise _refusal("datacontenttype must be application/json")
    for name in ("source", "type", "tenant", "kind", "namespace", "name", "actor"):
        value = getattr(found, name)
        if not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            raise _refusal(f"{name} must be 1 to {MAX_TEXT} printable characters")
    if not 1 <= found.typeversion < 2**31:
        raise _refusal("typeversion must be a positive 32-bit integer")


def _event(found: _Attributes) -> Event:
    try:
        phase = Phase(found.phase)
    except ValueError as exc:
        raise _refusal("phase must be intent, internal or fact") from exc
    return Event(
        id=EventId(_uuid(found.id, "id")),
        stream=StreamId(tenant=found.tenant, kind=found.kind, namespace=found.namespace, name=found.name),
        phase=phase,
        type=found.type,
        type_version=found.typeversion,
        actor=found.actor,
        time=_moment(found.time, "time"),
        correlation_id=_uuid(found.correlationid, "correlationid"),
        causation_id=None if found.causationid is None else _uuid(found.causationid, "causationid"),
        data=found.data,
    )


def _uuid(text: str, name: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as exc:
        raise _refusal(f"{name} must be a UUID") from exc


def _moment(text: str, name: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError) as exc:
        raise _refusal(f"{name} must be an RFC 3339 time with an offset") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _not_json(f"key {twice[:64]!r} stands twice in one object")
    return result


def _constant(name: str) -> NoReturn:
    raise _not_json(f"{name} is not JSON")


def _not_json(message: str) -> Refused:
    return Refused(message, code="cloudevent.json", where="CloudEvent")


def _refusal(message: str) -> Refused:
    return Refused(message, code="cloudevent.attribute", where="CloudEvent")
