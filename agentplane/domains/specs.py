"""Documents and intents held to their kind's model. Pure. No message repeats a value out of a document."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from agentplane.canonical import canonical_bytes
from agentplane.domains.model import Kind
from agentplane.domains.registry import Registry
from agentplane.domains.resource import ApplyRequested
from agentplane.errors import NotFound, Refused
from agentplane.events.model import StreamId
from agentplane.events.secrets import find_secrets
from agentplane.ids import DNS_LABEL

DEFAULT_NAMESPACE: Final = "default"
# where the value at a path in a document stands, in words: `org.yaml:7:3`
Locate = Callable[..., str]
_TOP: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
# the server's own fields may come back in a document that somebody got and edited; they are not looked at
_METADATA: Final = frozenset(
    {"name", "namespace", "labels", "finalizers", "uid", "generation", "resourceVersion", "creationTimestamp"}
    | {"deletionTimestamp"}
)
_FEW: Final = 20
_FINALIZER: Final = re.compile(r"[a-z0-9]([a-z0-9._/-]{0,251}[a-z0-9])?")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A document as a wish: which resource, and what of it."""

    stream: StreamId
    request: ApplyRequested


def read_wish(
    registry: Registry,
    value: dict[str, Any],
    *,
    tenant: str,
    kind: str | None,
    origin: str | Locate,
    name: str | None = None,
) -> Wish:
    """A document as a wish. With `kind`, a document may also be the spec alone, named by its field `name`.

    `origin` is the document's name, or tells the place of what stands at a path in it; `name` is the resource's where
    the document says none.

    Raises:
        NotFound: code `kind.unknown`.
        Refused: `resource.kind`, `resource.metadata`, `resource.invalid`, `resource.secret`.
    """
    at = _locate(origin)
    if kind is not None and not _TOP & value.keys() - {"spec"}:
        value, at = _whole_document(registry.documented(kind), value, name), _of_spec(at)
    elif name is not None and "metadata" not in value:
        value = {**value, "metadata": {"name": name}}
    known = _kind(registry, value, kind, at)
    api_version = value.get("apiVersion", known.api_version)
    if api_version != known.api_version:
        raise Refused(
            f"{known.name} has the apiVersion {known.api_version}, not another",
            code="resource.kind",
            where=at("apiVersion"),
        )
    if extra := sorted(value.keys() - _TOP):
        raise Refused(f"unknown fields: {', '.join(extra)[:200]}", code="resource.invalid", where=at(extra[0]))
    metadata = _metadata(value.get("metadata"), at)
    request = ApplyRequested(
        api_version=known.api_version,
        spec=check_spec(known, value.get("spec"), at),
        labels=metadata.labels,
        finalizers=metadata.finalizers,
    )
    said = {"spec": request.spec, "metadata": {"labels": request.labels}}
    if found := [secret for part, inner in said.items() for secret in find_secrets(inner, part)]:
        places = ", ".join(f"{secret.path} ({secret.shape})" for secret in found)
        raise Refused(
            f"something that looks like a secret stands in {places}",
            code="resource.secret",
            where=at(*found[0].path.split(".")),
            hint="keep the value in a secret store and write a handle: secret://NAME",
        )
    return Wish(stream=StreamId(tenant, known.name, metadata.namespace, metadata.name), request=request)


def read_stream(
    registry: Registry, value: dict[str, Any], *, tenant: str, kind: str | None, origin: str | Locate
) -> StreamId:
    """Which resource a document names; its spec may be missing, or of an older model. Raises as `read_wish`."""
    at = _locate(origin)
    if kind is not None and not _TOP & value.keys() - {"spec"}:
        value, at = _whole_document(registry.documented(kind), value, None), _of_spec(at)
    known, metadata = _kind(registry, value, kind, at), _metadata(value.get("metadata"), at)
    return StreamId(tenant, known.name, metadata.namespace, metadata.name)


def spec_alone(kind: Kind, value: dict[str, Any]) -> dict[str, Any]:
    """The spec in a document that is nothing else: `name` is the resource's, unless the spec has such a field."""
    fields = {name for known, field in kind.spec.model_fields.items() for name in (known, field.alias)}
    return value if "name" in fields else {key: item for key, item in value.items() if key != "name"}


def check_spec(kind: Kind, value: Any, origin: str | Locate) -> dict[str, Any]:  # noqa: ANN401 - a document
    """A spec as its author wrote it, once it fits. Raises Refused, `resource.invalid`, naming every wrong field."""
    at = _locate(origin)
    if not isinstance(value, dict):
        raise Refused("spec must be an object", code="resource.invalid", where=at("spec"))
    try:
        model = kind.spec.model_validate(value)
        written = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as exc:
        where = at("spec", *exc.errors(include_input=False)[0]["loc"])
        raise Refused(
            _problems(exc, at), code="resource.invalid", where=where, hint=f"agentplane schema {kind.name}"
        ) from None
    return written


def same_spec(kind: Kind, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two specs mean the same: defaults count as written."""
    try:
        return canonical_bytes(_whole(kind, one)) == canonical_bytes(_whole(kind, other))
    except ValidationError:  # one of them is an older model's
        return canonical_bytes(one) == canonical_bytes(other)


def model_of(kind: Kind, spec: dict[str, Any]) -> BaseModel:
    """A stored spec as its model. Raises Refused, code `resource.invalid`: today's model does not take it."""
    try:
        return kind.spec.model_validate(spec)
    except ValidationError as exc:
        raise Refused(_problems(exc, _locate(kind.name)), code="resource.invalid", where=kind.name) from None


def _whole(kind: Kind, spec: dict[str, Any]) -> dict[str, Any]:
    return kind.spec.model_validate(spec).model_dump(mode="json", by_alias=True)


def _whole_document(kind: Kind, value: dict[str, Any], name: str | None) -> dict[str, Any]:
    said = name if name is not None else value.get("name")
    return {"kind": kind.name, "metadata": {"name": said}, "spec": spec_alone(kind, value)}


def _of_spec(at: Locate) -> Locate:
    """Places in a document that is the spec alone: its root is the spec."""
    return lambda *path: at(*path[1:]) if path[:1] == ("spec",) else at()


def _locate(origin: str | Locate) -> Locate:
    return origin if callable(origin) else lambda *_: origin


def _kind(registry: Registry, value: dict[str, Any], kind: str | None, at: Locate) -> Kind:
    said = value.get("kind", kind)
    if not isinstance(said, str):
        raise Refused("a document names its kind", code="resource.kind", where=at(), hint="agentplane kinds")
    try:
        known = registry.documented(said)
    except NotFound as exc:
        raise NotFound(exc.message, code=exc.code, where=at("kind"), hint=exc.hint) from None
    if kind is not None and registry.kind(kind) is not known:
        message = f"the document's kind is {said[:63]}, asked for was {kind[:63]}"
        raise Refused(message, code="resource.kind", where=at("kind"))
    return known


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    name: str
    namespace: str = DEFAULT_NAMESPACE
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] | None = None


def _metadata(value: Any, at: Locate) -> _Metadata:  # noqa: ANN401 - a document
    if not isinstance(value, dict) or value.get("name") is None:
        hint = "metadata: {name: …}"
        raise Refused("metadata.name is missing", code="resource.metadata", where=at("metadata"), hint=hint)
    try:
        metadata = msgspec.convert(value, _Metadata, strict=True)
    except msgspec.ValidationError as exc:
        hint = "names and the values of labels are strings: quote what looks like a number"
        raise Refused(f"metadata: {exc}", code="resource.metadata", where=at("metadata"), hint=hint) from None
    if extra := sorted(map(str, value.keys() - _METADATA)):
        message = f"metadata: unknown fields: {', '.join(extra)[:200]}"
        raise Refused(message, code="resource.metadata", where=at("metadata", extra[0]))
    check_names(StreamId("", "", metadata.namespace, metadata.name), at)
    if not all(_FINALIZER.fullmatch(each) for each in metadata.finalizers or ()):
        message = "metadata.finalizers are named like tickets.example/unbilled: a-z, 0-9, '.', '-' and '/'"
        raise Refused(message, code="resource.metadata", where=at("metadata", "finalizers"))
    return metadata


def check_names(stream: StreamId, origin: str | Locate) -> None:
    """Namespace and name are DNS labels. Raises Refused, code `resource.metadata`."""
    for what, text in (("name", stream.name), ("namespace", stream.namespace)):
        if not DNS_LABEL.fullmatch(text):
            raise Refused(
                f"metadata.{what} must be a DNS label: a-z, 0-9 and '-', at most 63",
                code="resource.metadata",
                where=_locate(origin)("metadata", what),
            )


def _problems(exc: ValidationError, at: Locate) -> str:
    """Every problem with its field; its place, too, where that is not the first one's."""
    errors = exc.errors(include_input=False, include_url=False, include_context=False)
    first = at("spec", *errors[0]["loc"])
    listed = []
    for each in errors[:_FEW]:
        place = at("spec", *each["loc"])
        field = ".".join(("spec", *map(str, each["loc"])))
        listed.append(f"{field}: {words(each['msg'])}" + (f" ({place})" if place != first else ""))
    more = f"; and {len(errors) - _FEW} more" if len(errors) > _FEW else ""
    return "; ".join(listed) + more


def words(message: str) -> str:
    """What a validator said, without the name of Python's exception before it."""
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
