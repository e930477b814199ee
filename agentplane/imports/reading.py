"""From bytes of one line to a `Line`: CloudEvents, our plain form, VerMAS' two vocabularies, and its Go line. Pure.

Numbers that events cannot hold (fractions, integers beyond 2^53 - 1) become text, digit by digit as they stand there.
"""

import json
import re
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NoReturn

import msgspec

from agentplane.canonical import digest_value
from agentplane.domains.work.aliases import (
    ORIGINAL_CAUSE,
    ORIGINAL_CORRELATION,
    ORIGINAL_ID,
    ORIGINAL_TYPE,
    canonical_data,
    canonical_type,
    event_uuid,
)
from agentplane.errors import Refused
from agentplane.events.digest import MAX_INTEGER
from agentplane.events.model import Phase
from agentplane.imports.model import Line

ORIGINAL_FIELDS: Final = "original_fields"  # in data: what a foreign line had beside the fields that are known
MAX_LINE_BYTES: Final = 1100 * 1024  # the largest data that the store takes, and room for the envelope
_MAX_TEXT: Final = 512
_UNFIT: Final = re.compile(r"[^a-z0-9_.-]+")
_SEQUENCE: Final = re.compile(r"[0-9]{1,19}")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_DOTS: Final = re.compile(r"\.{2,}")

Document = dict[str, Any]


class Format(StrEnum):
    """How lines are written; `auto`: each line says it by its fields."""

    AUTO = "auto"
    CLOUDEVENTS = "cloudevents"
    PLAIN = "plain"  # our own flat form: types and fields stay as they are
    VERMAS = "vermas"  # the flat form, or the Go line; types and fields of both vocabularies become today's


class BadLine(Exception):
    """A line that is no event. `column` from 1; None: the line as a whole."""

    def __init__(self, reason: str, *, code: str = "import.line", column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.column = column


def read_line(raw: bytes, number: int, form: Format, *, tenant: str, from_tenant: str | None = None) -> Line:
    """One line as an event of `tenant`. `from_tenant`: a tenant elsewhere whose events are taken as this one's.

    Raises:
        BadLine: `import.json`, `import.line`, `import.time`, `import.tenant`, `import.too-large`.
    """
    if len(raw) > MAX_LINE_BYTES:
        raise BadLine(f"longer than {MAX_LINE_BYTES} bytes", code="import.too-large")
    document = _object_of(raw)
    shape, tenants = _shape(document, form), {tenant, from_tenant}
    if "tenant" in document and _text(document, "tenant") not in tenants:
        raise BadLine("it belongs to another tenant", code="import.tenant")
    match shape:
        case "cloudevents":
            return _cloudevent(document, number)
        case "flat":
            return _flat(document, number, form, tenants)
        case _:
            return _go(document, number)


def _shape(document: Document, form: Format) -> str:
    flat = "event_id" in document or "event_type" in document
    go = "ts" in document and "type" in document
    if form is Format.CLOUDEVENTS or (form is Format.AUTO and "specversion" in document):
        return "cloudevents"
    if form is Format.PLAIN or flat:
        return "flat"
    if go:
        return "go"
    raise BadLine("neither CloudEvents (specversion) nor the flat form (event_id, event_type) nor a Go line (ts, type)")


def _cloudevent(document: Document, number: int) -> Line:
    if document.get("specversion") != "1.0":
        raise BadLine("specversion must be 1.0")
    if "data_base64" in document:
        raise BadLine("binary data are not taken")
    ours = {"tenant", "phase", "kind", "namespace", "name", "correlationid"} <= document.keys()
    return _our_cloudevent(document, number) if ours else _foreign_cloudevent(document, number)


def _our_cloudevent(document: Document, number: int) -> Line:
    phase = _text(document, "phase")
    if phase not in {each.value for each in Phase}:
        raise BadLine("phase must be intent, internal or fact")
    version, sequence = document.get("typeversion", 1), document.get("sequence")
    if type(version) is not int or version < 1:
        raise BadLine("typeversion must be a positive integer")
    id_, data = _text(document, "id"), _data(document, "data")
    correlation = _text(document, "correlationid")
    original = _source_id(id_, data, {_text(document, "tenant")})
    return Line(
        number=number,
        id=original or id_,
        alias=id_ if original else None,
        type=_text(document, "type"),
        type_version=version,
        phase=Phase(phase),
        kind=_text(document, "kind"),
        namespace=_text(document, "namespace"),
        name=_text(document, "name"),
        actor=_text(document, "actor"),
        time=_time(document, "time"),
        correlation=None if original and correlation == id_ else correlation,
        cause=_optional(document, "causationid"),
        sequence=int(sequence) if isinstance(sequence, str) and _SEQUENCE.fullmatch(sequence) else None,
        data=data,
    )


def _source_id(id_: str, data: Document, tenants: set[str | None]) -> str | None:
    """The id that an event of ours has at its source; told by that once more, it is the same event everywhere."""
    original = data.get(ORIGINAL_ID)
    if not isinstance(original, str) or not 0 < len(original) <= _MAX_TEXT:
        return None
    return original if any(str(event_uuid(tenant, original)) == id_ for tenant in tenants if tenant) else None


_CLOUDEVENT: Final = frozenset(
    {"specversion", "id", "source", "type", "time", "data", "datacontenttype", "tenant", "sequence", "recordedtime"}
    | {"actor", "correlationid", "causationid", "streamversion", "typeversion", "phase"}
)


def _foreign_cloudevent(document: Document, number: int) -> Line:
    data = document.get("data")
    source = _text(document, "source")
    type_, renamed = _names(
        _text(document, "type"), data if isinstance(data, dict) else {"value": data} if data else {}
    )
    named = {"kind", "name", "namespace"} <= document.keys()
    return Line(
        number=number,
        id=_text(document, "id"),
        type=type_,
        kind=_text(document, "kind") if named else None,
        namespace=_text(document, "namespace") if named else None,
        name=_text(document, "name") if named else None,
        actor=_optional(document, "actor") or source,
        time=_time(document, "time"),
        correlation=_optional(document, "correlationid"),
        cause=_optional(document, "causationid"),
        data=_with_origin(renamed, document, _CLOUDEVENT, id_=_text(document, "id"), words=_cloud_words(document)),
    )


def _cloud_words(document: Document) -> dict[str, str | None]:
    return {
        ORIGINAL_CORRELATION: _optional(document, "correlationid"),
        ORIGINAL_CAUSE: _optional(document, "causationid"),
    }


_FLAT: Final = frozenset({"event_id", "event_type", "timestamp", "actor", "correlation_id", "caused_by", "data"})


def _flat(document: Document, number: int, form: Format, tenants: set[str | None]) -> Line:
    type_, data = _text(document, "event_type"), _data(document, "data")
    id_, correlation = _text(document, "event_id"), _optional(document, "correlation_id")
    original = _source_id(id_, data, tenants)
    if original is None and form is not Format.PLAIN:
        type_, data = _names(type_, data)
        words = {ORIGINAL_CORRELATION: correlation, ORIGINAL_CAUSE: _optional(document, "caused_by")}
        data = _with_origin(data, document, _FLAT, id_=id_, words=words)
    return Line(
        number=number,
        id=original or id_,
        alias=id_ if original else None,
        type=type_,
        actor=_text(document, "actor"),
        time=_time(document, "timestamp"),
        correlation=None if original and correlation == id_ else correlation,
        cause=_optional(document, "caused_by"),
        data=data,
    )


_GO: Final = frozenset({"ts", "type", "actor", "payload"})


def _go(document: Document, number: int) -> Line:
    """VerMAS' Go line has no id: what it says, whole, is its id. Two equal lines of one second are one event."""
    payload = document.get("payload")
    data = payload if isinstance(payload, dict) else {} if payload is None else {"value": payload}
    type_, data = _names(_text(document, "type"), data)
    try:
        digest = digest_value(document).removeprefix("sha256:")
    except Refused as exc:
        raise BadLine(exc.message) from exc
    return Line(
        number=number,
        id=f"go-{digest}",
        type=type_,
        actor=_optional(document, "actor") or _optional(document, "source") or "unknown",
        time=_time(document, "ts"),
        data=_with_origin(data, document, _GO, id_=f"go-{digest}", words={}),
    )


def _names(original: str, data: Document) -> tuple[str, Document]:
    """Type and data under today's names; a type that no subject can carry is made fit, and kept as it was."""
    canonical = canonical_type(original)
    if canonical is not None:
        return canonical, canonical_data(original, data)
    fit = _DOTS.sub(".", _UNFIT.sub("-", original.lower())).strip(".") or "unknown"
    if fit == original:
        return fit, data
    canonical = canonical_type(fit)
    renamed = data if canonical is None else canonical_data(fit, data)
    return canonical or fit, {**renamed, ORIGINAL_TYPE: data.get(ORIGINAL_TYPE, original)}


def _with_origin(
    data: Document, document: Document, known: frozenset[str], *, id_: str, words: dict[str, str | None]
) -> Document:
    """Data with what a line said beside them, and its ids in its source's own words where those are no UUIDs."""
    beside = {name: value for name, value in document.items() if name not in known and value is not None}
    ids = {ORIGINAL_ID: id_, **words}
    return {
        **{name: word for name, word in ids.items() if word is not None and not _is_uuid(word)},
        **({ORIGINAL_FIELDS: beside} if beside else {}),
        **data,
    }


def _object_of(raw: bytes) -> Document:
    try:
        document = json.loads(  # without the line's end: a cut line is told at its last column, not in a second line
            raw.decode().rstrip("\r\n"),
            object_pairs_hook=_pairs,
            parse_constant=_constant,
            parse_float=_fraction,
            parse_int=_integer,
        )
    except json.JSONDecodeError as exc:
        raise BadLine(exc.msg, code="import.json", column=exc.colno) from exc
    except UnicodeDecodeError as exc:
        raise BadLine("not UTF-8", code="import.json", column=exc.start + 1) from exc
    except (RecursionError, ValueError) as exc:
        raise BadLine("nested too deeply, or a number of thousands of digits", code="import.json") from exc
    if not isinstance(document, dict):
        raise BadLine("a line is one JSON object", code="import.json", column=1)
    if _SURROGATE.search(raw):
        _check_unicode(document)
    return document


def _check_unicode(document: Document) -> None:
    """JSON may write halves of a character, which no text is made of."""
    try:
        msgspec.json.encode(document)
    except UnicodeEncodeError as exc:
        raise BadLine("has text that is not valid Unicode", code="import.json") from exc


def _pairs(pairs: list[tuple[str, Any]]) -> Document:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise BadLine("a key stands twice in one object", code="import.json")
    return result


def _constant(name: str) -> NoReturn:
    raise BadLine(f"{name} is not JSON", code="import.json")


def _integer(text: str) -> int | str:
    value = int(text)
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else text


def _fraction(text: str) -> int | str:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else text


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise BadLine(f"{name} must be 1 to {_MAX_TEXT} printable characters")
    return value


def _optional(document: Document, name: str) -> str | None:
    return None if document.get(name) in (None, "") else _text(document, name)


def _data(document: Document, name: str) -> Document:
    data = document.get(name, {})
    if not isinstance(data, dict):
        raise BadLine(f"{name} must be an object")
    return data


def _time(document: Document, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(document, name))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadLine(f"{name} must be an ISO 8601 time", code="import.time") from exc


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def line_size(line: Line) -> int:
    """How many bytes a line needs in a message."""
    return len(msgspec.json.encode(line))
