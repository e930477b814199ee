"""Documents and intents held to their kind's model. Pure. No message repeats a value out of a document."""

import difflib
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agentplane.canonical import canonical_bytes
from agentplane.domains.documentation import explain, json_schema
from agentplane.domains.model import Kind
from agentplane.domains.registry import Registry
from agentplane.domains.resource import ApplyRequested
from agentplane.errors import NotFound, Refused
from agentplane.events.model import StreamId
from agentplane.events.secrets import find_secrets
from agentplane.ids import DNS_LABEL, LABEL_KEY, LABEL_VALUE

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
_LABEL_KEY: Final = re.compile(LABEL_KEY)
_LABEL_VALUE: Final = re.compile(LABEL_VALUE)
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
    _same_name(name, value, at)
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


def _same_name(name: str | None, value: dict[str, Any], at: Locate) -> None:
    """A name beside a document is for one that says none, or the same."""
    said = value["metadata"].get("name", name) if isinstance(value.get("metadata"), dict) else name
    if name is not None and said != name:
        message = f"the document's name is {str(said)[:63]}, asked for was {name[:63]}"
        raise Refused(message, code="resource.metadata", where=at("metadata", "name"))


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
            _problems(kind, exc, at), code="resource.invalid", where=where, hint=f"agentplane schema {kind.name}"
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
        raise Refused(_problems(kind, exc, _locate(kind.name)), code="resource.invalid", where=kind.name) from None


def with_defaults(kind: Kind, spec: dict[str, Any]) -> dict[str, Any]:
    """A stored spec with what counts as written where nothing is; as it is, where today's model does not take it."""
    try:
        return _whole(kind, spec)
    except ValidationError:
        return spec


def _whole(kind: Kind, spec: dict[str, Any]) -> dict[str, Any]:
    return kind.spec.model_validate(spec).model_dump(mode="json", by_alias=True)


def _whole_document(kind: Kind, value: dict[str, Any], name: str | None) -> dict[str, Any]:
    said = value["name"] if "name" in value and "name" not in spec_alone(kind, value) else name
    said = value.get("name") if said is None else said
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
        wrong, path = _at_fault(exc)
        message = f"{'.'.join(('metadata', *path))}: {wrong}"
        raise Refused(message, code="resource.metadata", where=at("metadata", *path), hint=hint) from None
    if extra := sorted(map(str, value.keys() - _METADATA)):
        message = f"metadata: unknown fields: {', '.join(extra)[:200]}"
        hint = "there are name, namespace, labels and finalizers"
        raise Refused(message, code="resource.metadata", where=at("metadata", extra[0]), hint=hint)
    _check_labels(metadata.labels, at)
    check_names(StreamId("", "", metadata.namespace, metadata.name), at)
    if not all(_FINALIZER.fullmatch(each) for each in metadata.finalizers or ()):
        message = "metadata.finalizers are named like tickets.example/unbilled: a-z, 0-9, '.', '-' and '/'"
        raise Refused(message, code="resource.metadata", where=at("metadata", "finalizers"))
    return metadata


def _check_labels(labels: dict[str, str], at: Locate) -> None:
    """Each can be named by a selector. Raises Refused, code `resource.metadata`."""
    for key, text in labels.items():
        if not (_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(text)):
            hint = "keys and values are of A-Z, a-z, 0-9, '.', '_' and '-', keys of '/', too; at most 253 characters"
            message = "metadata.labels: no selector can name this label"
            raise Refused(message, code="resource.metadata", where=at("metadata", "labels", key), hint=hint)


def _at_fault(exc: msgspec.ValidationError) -> tuple[str, tuple[str, ...]]:
    """What msgspec says is wrong, and the field: it writes ``Expected `str`, got `int` - at `$.labels[...]```."""
    wrong, _, place = str(exc).partition(" - at ")
    field = re.match(r"`\$\.([a-z]+)", place)
    return wrong.replace("`", "").replace("str", "a string").replace("int", "a number"), (field[1],) if field else ()


def check_names(stream: StreamId, origin: str | Locate) -> None:
    """Namespace and name are DNS labels. Raises Refused, code `resource.metadata`."""
    for what, text in (("name", stream.name), ("namespace", stream.namespace)):
        if not DNS_LABEL.fullmatch(text):
            raise Refused(
                f"metadata.{what} must be a DNS label: a-z, 0-9 and '-', at most 63",
                code="resource.metadata",
                where=_locate(origin)("metadata", what),
            )


def _problems(kind: Kind, exc: ValidationError, at: Locate) -> str:
    """Every problem with its field; on lines of their own, with their places, where these are not the same."""
    errors = exc.errors(include_input=False, include_url=False, include_context=False)
    places = [at("spec", *each["loc"]) for each in errors]
    told = [f"{_field(each['loc'])}: {_said(kind, each)}" for each in errors[:_FEW]]
    more = [f"and {len(errors) - _FEW} more"] if len(errors) > _FEW else []
    if len(set(places)) == 1:
        return "; ".join(told + more)
    lines = [f"{place}: {problem}" for place, problem in zip(places, told, strict=False)]
    return "\n  ".join([f"{len(errors)} things do not fit", *lines, *more])


def _field(path: tuple[int | str, ...]) -> str:
    return ".".join(("spec", *map(str, path)))


def _said(kind: Kind, error: ErrorDetails) -> str:
    """One problem in words; what a field may be called, where there is none of that name."""
    if error["type"] != "extra_forbidden":
        return words(error)
    *within, name = (str(each) for each in error["loc"] if isinstance(each, str))
    try:
        known = [field.name for field in explain(json_schema(kind), ("spec", *within)).fields]
    except NotFound:
        known = []
    close = difflib.get_close_matches(name, known, n=1)
    return "there is no such field" + (f"; {close[0]}?" if close else "")


def words(error: ErrorDetails) -> str:
    """What a validator said, without the name of Python's exception before it."""
    if error["type"] == "missing":
        return "is missing"
    return error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
