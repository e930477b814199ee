"""Documents and intents held to their kind's model. Pure. No message repeats a value out of a document."""

from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from agentplane.canonical import canonical_bytes
from agentplane.domains.model import Kind
from agentplane.domains.registry import Registry
from agentplane.domains.resource import ApplyRequested
from agentplane.errors import Refused
from agentplane.events.model import StreamId
from agentplane.events.secrets import find_secrets
from agentplane.ids import DNS_LABEL

DEFAULT_NAMESPACE: Final = "default"
_TOP: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
# the server's own fields may come back in a document that somebody got and edited; they are not looked at
_METADATA: Final = frozenset(
    {"name", "namespace", "labels", "finalizers", "uid", "generation", "resourceVersion", "creationTimestamp"}
    | {"deletionTimestamp"}
)
_FEW: Final = 20


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A document as a wish: which resource, and what of it."""

    stream: StreamId
    request: ApplyRequested


def read_wish(registry: Registry, value: dict[str, Any], *, tenant: str, kind: str | None, origin: str) -> Wish:
    """A document as a wish. With `kind`, a document may also be the spec alone, named by its field `name`.

    Raises:
        NotFound: code `kind.unknown`.
        Refused: `resource.kind`, `resource.metadata`, `resource.invalid`, `resource.secret`.
    """
    if kind is not None and not _TOP & value.keys() - {"spec"}:
        value = {
            "kind": kind,
            "metadata": {"name": value.get("name")},
            "spec": spec_alone(registry.documented(kind), value),
        }
    known = _kind(registry, value, kind, origin)
    api_version = value.get("apiVersion", known.api_version)
    if api_version != known.api_version:
        raise Refused(
            f"{known.name} has the apiVersion {known.api_version}, not another", code="resource.kind", where=origin
        )
    if extra := sorted(value.keys() - _TOP):
        raise Refused(f"unknown fields: {', '.join(extra)[:200]}", code="resource.invalid", where=origin)
    metadata = _metadata(value.get("metadata"), origin)
    request = ApplyRequested(
        api_version=known.api_version,
        spec=check_spec(known, value.get("spec"), origin),
        labels=metadata.labels,
        finalizers=metadata.finalizers,
    )
    if found := find_secrets(request.spec, "spec"):
        places = ", ".join(f"{secret.path} ({secret.shape})" for secret in found)
        raise Refused(
            f"something that looks like a secret stands in {places}",
            code="resource.secret",
            where=origin,
            hint="keep the value in a secret store and write a handle: secret://NAME",
        )
    return Wish(stream=StreamId(tenant, known.name, metadata.namespace, metadata.name), request=request)


def spec_alone(kind: Kind, value: dict[str, Any]) -> dict[str, Any]:
    """The spec in a document that is nothing else: `name` is the resource's, unless the spec has such a field."""
    fields = {name for known, field in kind.spec.model_fields.items() for name in (known, field.alias)}
    return value if "name" in fields else {key: item for key, item in value.items() if key != "name"}


def check_spec(kind: Kind, value: Any, origin: str) -> dict[str, Any]:  # noqa: ANN401 - a document
    """A spec as its author wrote it, once it fits. Raises Refused, `resource.invalid`, naming every wrong field."""
    if not isinstance(value, dict):
        raise Refused("spec must be an object", code="resource.invalid", where=origin)
    try:
        model = kind.spec.model_validate(value)
        written = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as exc:
        raise Refused(
            _problems(exc), code="resource.invalid", where=origin, hint=f"agentplane schema {kind.name}"
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
        raise Refused(_problems(exc), code="resource.invalid", where=kind.name) from None


def _whole(kind: Kind, spec: dict[str, Any]) -> dict[str, Any]:
    return kind.spec.model_validate(spec).model_dump(mode="json", by_alias=True)


def _kind(registry: Registry, value: dict[str, Any], kind: str | None, origin: str) -> Kind:
    said = value.get("kind", kind)
    if not isinstance(said, str):
        raise Refused("a document names its kind", code="resource.kind", where=origin, hint="agentplane kinds")
    known = registry.documented(said)
    if kind is not None and registry.kind(kind) is not known:
        raise Refused(f"the document is a {said[:63]}, not a {kind[:63]}", code="resource.kind", where=origin)
    return known


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    name: str
    namespace: str = DEFAULT_NAMESPACE
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] | None = None


def _metadata(value: Any, origin: str) -> _Metadata:  # noqa: ANN401 - a document
    try:
        metadata = msgspec.convert(value, _Metadata, strict=True)
    except msgspec.ValidationError as exc:
        raise Refused(
            f"metadata: {exc}", code="resource.metadata", where=origin, hint="metadata.name is needed"
        ) from None
    if extra := sorted(map(str, value.keys() - _METADATA)):
        raise Refused(f"metadata: unknown fields: {', '.join(extra)[:200]}", code="resource.metadata", where=origin)
    check_names(StreamId("", "", metadata.namespace, metadata.name), origin)
    return metadata


def check_names(stream: StreamId, origin: str) -> None:
    """Namespace and name are DNS labels. Raises Refused, code `resource.metadata`."""
    for what, text in (("name", stream.name), ("namespace", stream.namespace)):
        if not DNS_LABEL.fullmatch(text):
            raise Refused(
                f"metadata.{what} must be a DNS label: a-z, 0-9 and '-', at most 63",
                code="resource.metadata",
                where=origin,
            )


def _problems(exc: ValidationError) -> str:
    errors = exc.errors(include_input=False, include_url=False, include_context=False)
    listed = [f"{'.'.join(('spec', *map(str, each['loc'])))}: {each['msg']}" for each in errors[:_FEW]]
    more = f"; and {len(errors) - _FEW} more" if len(errors) > _FEW else ""
    return "; ".join(listed) + more
