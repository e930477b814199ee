"""Schemas by name: read from the package, compiled once, at first use. Errors never quote the checked value."""

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agentplane.documents.model import pointer
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
_FEW: Final = 12  # options worth listing


class SchemaError(msgspec.Struct, frozen=True):
    """One way in which a value is not what its schema says."""

    path: str  # JSON pointer; of the missing or unexpected member itself
    message: str
    keyword: str  # "required", "type", "enum", …


@cache
def names() -> tuple[str, ...]:
    """All schema names, sorted."""
    files = (entry.name for entry in resources.files(__package__).iterdir())
    return tuple(sorted(file.removesuffix(".json").replace(".schema", "") for file in files if file.endswith(".json")))


@cache
def document(name: str) -> dict[str, Any]:
    """A schema as JSON. Treat it as frozen. Raises NotFound, code `schema.unknown`."""
    if name not in names():
        raise NotFound(f"no schema {name!r}", code="schema.unknown", hint=f"Known: {', '.join(names())}")
    kind, _, version = name.partition(".")
    schema: dict[str, Any] = msgspec.json.decode(
        resources.files(__package__).joinpath(f"{kind}.schema.{version}.json").read_bytes()
    )
    return schema


@cache
def validator(name: str) -> "Draft202012Validator":
    """The compiled validator; formats are asserted. Raises NotFound, code `schema.unknown`."""
    from jsonschema_rs import Draft202012Validator  # noqa: PLC0415 - 25 ms that most commands need not wait for

    return Draft202012Validator(document(name), validate_formats=True)


def for_kind(kind: str, version: str = "v0.1") -> str:
    """The schema name of an artifact kind: `RunArtifact` is `run-artifact.v0.1`. Raises NotFound."""
    name = f"{_WORD.sub('-', kind).lower()}.{version}"
    if name not in names():
        raise NotFound(f"kind {kind!r} has no schema {version}", code="schema.unknown")
    return name


def check(name: str, value: Any) -> tuple[SchemaError, ...]:  # noqa: ANN401 - any JSON value
    """Everything that is wrong with a value, by path; empty when it is valid. Raises NotFound for an unknown name."""
    errors = [error for raw in validator(name).iter_errors(value) for error in _errors(raw)]
    return tuple(sorted(errors, key=lambda error: (error.path, error.keyword, error.message)))


def _errors(raw: "ValidationError") -> list[SchemaError]:
    keyword, path, detail = raw.kind.name, list(raw.instance_path), raw.kind.value
    if keyword == "required":
        return [SchemaError(pointer(*path, detail), "is required but missing", keyword)]
    if keyword in {"additionalProperties", "unevaluatedProperties"}:
        return [SchemaError(pointer(*path, extra), "is not a known field here", keyword) for extra in detail]
    return [SchemaError(pointer(*path), _words(keyword, detail), keyword)]


_TEMPLATES: Final = {
    "type": "must be {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "pattern": "must match {}",
    "format": "is no {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "minLength": "must have at least {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
}


def _words(keyword: str, detail: Any) -> str:  # noqa: ANN401 - whatever the keyword holds
    if keyword not in _TEMPLATES or (isinstance(detail, list) and len(detail) > _FEW):
        return f"does not satisfy the schema's {keyword}"
    options = detail if isinstance(detail, list) else [detail]
    separator = " or " if keyword == "type" else ", "
    words = separator.join("null" if option is None else str(option) for option in options)
    return _TEMPLATES[keyword].format(words)
