"""From bytes of one line to a `Line`: CloudEvents, our plain form, VerMAS' two vocabularies, and its Go line. Pure.

What one field may hold is `agentplane.imports.fields`' concern.
"""

import re
from enum import StrEnum
from typing import Final

import msgspec

from agentplane.canonical import digest_value
from agentplane.domains.work.aliases import (
    ORIGINAL_CAUSE,
    ORIGINAL_CORRELATION,
    ORIGINAL_ID,
    ORIGINAL_TYPE,
    canonical_data,
    canonical_type,
    correlation_uuid,
    event_uuid,
)
from agentplane.errors import Refused
from agentplane.events.model import Phase
from agentplane.imports.fields import (
    MAX_TEXT,
    BadLine,
    Document,
    data_of,
    is_uuid,
    object_of,
    optional,
    text_of,
    time_of,
)
from agentplane.imports.model import Line

ORIGINAL_FIELDS: Final = "original_fields"  # in data: what a foreign line had beside the fields that are known
MAX_LINE_BYTES: Final = 1100 * 1024  # the largest data that the store takes, and room for the envelope
_UNFIT: Final = re.compile(r"[^a-z0-9_.-]+")
_SEQUENCE: Final = re.compile(r"[0-9]{1,19}")
_DOTS: Final = re.compile(r"\.{2,}")


class Format(StrEnum):
    """How lines are written; `auto`: each line says it by its fields."""

    AUTO = "auto"
    CLOUDEVENTS = "cloudevents"
    PLAIN = "plain"  # our own flat form: types and fields stay as they are
    VERMAS = "vermas"  # the flat form, or the Go line; types and fields of both vocabularies become today's


def read_line(raw: bytes, number: int, form: Format, *, tenant: str, from_tenant: str | None = None) -> Line:
    """One line as an event of `tenant`. `from_tenant`: a tenant elsewhere whose events are taken as this one's.

    Raises:
        BadLine: `import.json`, `import.line`, `import.time`, `import.tenant`, `import.too-large`.
    """
    if len(raw) > MAX_LINE_BYTES:
        raise BadLine(f"longer than {MAX_LINE_BYTES} bytes", code="import.too-large")
    document = object_of(raw)
    shape, tenants = _shape(document, form), {tenant, from_tenant}
    if "tenant" in document and text_of(document, "tenant") not in tenants:
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
    phase = text_of(document, "phase")
    if phase not in {each.value for each in Phase}:
        raise BadLine("phase must be intent, internal or fact")
    version, sequence = document.get("typeversion", 1), document.get("sequence")
    if type(version) is not int or version < 1:
        raise BadLine("typeversion must be a positive integer")
    id_, data = text_of(document, "id"), data_of(document, "data")
    tenants: set[str | None] = {text_of(document, "tenant")}
    original = _source_id(id_, data, tenants)
    correlation, cause = _source_words(
        data, tenants, correlation=text_of(document, "correlationid"), cause=optional(document, "causationid")
    )
    return Line(
        number=number,
        id=original or id_,
        alias=id_ if original else None,
        type=text_of(document, "type"),
        type_version=version,
        phase=Phase(phase),
        kind=text_of(document, "kind"),
        namespace=text_of(document, "namespace"),
        name=text_of(document, "name"),
        actor=text_of(document, "actor"),
        time=time_of(document, "time"),
        correlation=None if original and correlation == id_ else correlation,
        cause=cause,
        sequence=int(sequence) if isinstance(sequence, str) and _SEQUENCE.fullmatch(sequence) else None,
        data=data,
    )


def _source_id(id_: str, data: Document, tenants: set[str | None]) -> str | None:
    """The id that an event of ours has at its source; told by that once more, it is the same event everywhere."""
    original = data.get(ORIGINAL_ID)
    if not isinstance(original, str) or not 0 < len(original) <= MAX_TEXT:
        return None
    return original if any(str(event_uuid(tenant, original)) == id_ for tenant in tenants if tenant) else None


def _source_words(
    data: Document, tenants: set[str | None], *, correlation: str | None, cause: str | None
) -> tuple[str | None, str | None]:
    """What an event of ours belongs to and what caused it, in its source's words where our ids come from them."""
    named = [each for each in tenants if each]
    word, evt = data.get(ORIGINAL_CORRELATION), data.get(ORIGINAL_CAUSE)
    if isinstance(word, str) and any(str(correlation_uuid(each, word)) == correlation for each in named):
        correlation = word
    if isinstance(evt, str) and any(str(event_uuid(each, evt)) == cause for each in named):
        cause = evt
    return correlation, cause


_CLOUDEVENT: Final = frozenset(
    {"specversion", "id", "source", "type", "time", "data", "datacontenttype", "tenant", "sequence", "recordedtime"}
    | {"actor", "correlationid", "causationid", "streamversion", "typeversion", "phase"}
)


def _foreign_cloudevent(document: Document, number: int) -> Line:
    data = document.get("data")
    source = text_of(document, "source")
    type_, renamed = _names(
        text_of(document, "type"), data if isinstance(data, dict) else {"value": data} if data else {}
    )
    named = {"kind", "name", "namespace"} <= document.keys()
    return Line(
        number=number,
        id=text_of(document, "id"),
        type=type_,
        kind=text_of(document, "kind") if named else None,
        namespace=text_of(document, "namespace") if named else None,
        name=text_of(document, "name") if named else None,
        actor=optional(document, "actor") or source,
        time=time_of(document, "time"),
        correlation=optional(document, "correlationid"),
        cause=optional(document, "causationid"),
        data=_with_origin(renamed, document, _CLOUDEVENT, id_=text_of(document, "id"), words=_cloud_words(document)),
    )


def _cloud_words(document: Document) -> dict[str, str | None]:
    return {
        ORIGINAL_CORRELATION: optional(document, "correlationid"),
        ORIGINAL_CAUSE: optional(document, "causationid"),
    }


_FLAT: Final = frozenset({"event_id", "event_type", "timestamp", "actor", "correlation_id", "caused_by", "data"})


def _flat(document: Document, number: int, form: Format, tenants: set[str | None]) -> Line:
    type_, data = text_of(document, "event_type"), data_of(document, "data")
    id_, correlation = text_of(document, "event_id"), optional(document, "correlation_id")
    original, cause = _source_id(id_, data, tenants), optional(document, "caused_by")
    if original is None and form is not Format.PLAIN:
        type_, data = _names(type_, data)
        words = {ORIGINAL_CORRELATION: correlation, ORIGINAL_CAUSE: cause}
        data = _with_origin(data, document, _FLAT, id_=id_, words=words)
    elif original is not None:
        correlation, cause = _source_words(data, tenants, correlation=correlation, cause=cause)
    return Line(
        number=number,
        id=original or id_,
        alias=id_ if original else None,
        type=type_,
        actor=text_of(document, "actor"),
        time=time_of(document, "timestamp"),
        correlation=None if original and correlation == id_ else correlation,
        cause=cause,
        data=data,
    )


_GO: Final = frozenset({"ts", "type", "actor", "payload"})


def _go(document: Document, number: int) -> Line:
    """VerMAS' Go line has no id: what it says, whole, is its id. Two equal lines of one second are one event."""
    payload = document.get("payload")
    data = payload if isinstance(payload, dict) else {} if payload is None else {"value": payload}
    type_, data = _names(text_of(document, "type"), data)
    try:
        digest = digest_value(document).removeprefix("sha256:")
    except Refused as exc:
        raise BadLine(exc.message) from exc
    return Line(
        number=number,
        id=f"go-{digest}",
        type=type_,
        actor=optional(document, "actor") or optional(document, "source") or "unknown",
        time=time_of(document, "ts"),
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
        **{name: word for name, word in ids.items() if word is not None and not is_uuid(word)},
        **({ORIGINAL_FIELDS: beside} if beside else {}),
        **data,
    }


def line_size(line: Line) -> int:
    """How many bytes a line needs in a message."""
    return len(msgspec.json.encode(line))
