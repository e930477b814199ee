"""What a kind's documents look like, from its model alone: JSON Schema for editors, fields in words. Pure."""

from typing import Any, Final

import msgspec

from agentplane.domains.model import Kind
from agentplane.errors import NotFound

_LABEL: Final = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
_METADATA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Which resource it is.",
    "required": ["name"],
    "properties": {
        "name": {**_LABEL, "description": "A DNS label, unique among its kind in the namespace"},
        "namespace": {**_LABEL, "default": "default", "description": "Where the name is unique"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "description": "To find it by"},
        "finalizers": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What holds its deletion; left out: as they are",
        },
    },
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a document. `type` in words, `limits` what else must hold of a value."""

    name: str
    type: str
    required: bool
    limits: str
    description: str


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at a path, and the fields in it."""

    path: str
    type: str
    limits: str
    description: str
    fields: tuple[Field, ...]


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a kind's documents."""
    spec = kind.spec.model_json_schema(by_alias=True)
    definitions = spec.pop("$defs", {})
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.name,
        "description": kind.description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": kind.api_version},
            "kind": {"const": kind.name},
            "metadata": _METADATA,
            "spec": spec,
            "status": {"type": "object", "description": "Written by controllers; not looked at in a document"},
        },
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def explain(schema: dict[str, Any], path: tuple[str, ...]) -> Explained:
    """What stands at a path of a kind's documents; one that begins inside `spec` may leave that word out.

    Raises:
        NotFound: code `schema.path`.
    """
    if path and path[0] not in schema["properties"] and "spec" in schema["properties"]:
        path = ("spec", *path)
    node, definitions = schema, schema.get("$defs", {})
    for number, name in enumerate(path):
        properties = _resolved(node, definitions).get("properties", {})
        if name not in properties:
            where = ".".join(path[:number]) or "the document"
            hint = f"there are: {', '.join(properties)}" if properties else "it has no fields"
            raise NotFound(f"no field {name[:63]!r} in {where}", code="schema.path", hint=hint)
        node = properties[name]
    shown = _resolved(node, definitions)
    required = set(shown.get("required", ()))
    fields = tuple(
        _field(name, each, name in required, definitions) for name, each in shown.get("properties", {}).items()
    )
    return Explained(
        path=".".join(path),
        type=_type(node, definitions),
        limits=_limits(_with_default(shown, node)),
        description=str(node.get("description") or shown.get("description", "")),
        fields=fields,
    )


def _field(name: str, node: dict[str, Any], required: bool, definitions: dict[str, Any]) -> Field:  # noqa: FBT001 - private
    shown = _resolved(node, definitions)
    return Field(
        name=name,
        type=_type(node, definitions),
        required=required,
        limits=_limits(_with_default(shown, node)),
        description=str(node.get("description") or shown.get("description", "")).partition("\n")[0],
    )


def _with_default(shown: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """A default stands beside a reference, not in what it leads to."""
    return {**shown, "default": node["default"]} if "default" in node else shown


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A node with its reference followed; of a list its items, of an optional value the value."""
    if "$ref" in node:
        return _resolved(definitions[str(node["$ref"]).rpartition("/")[2]], definitions)
    options = [each for each in node.get("anyOf", ()) if each.get("type") != "null"]
    if len(options) == 1:
        return _resolved(options[0], definitions)
    if isinstance(node.get("items"), dict):
        inner = _resolved(node["items"], definitions)
        return {**inner, **{key: node[key] for key in ("maxItems", "minItems") if key in node}}
    return node


def _type(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    if isinstance(node.get("items"), dict):
        return f"[]{_type(node['items'], definitions)}"
    if "anyOf" in node:
        return " or ".join(_type(each, definitions) for each in node["anyOf"])
    if "$ref" in node:
        return _type(_resolved(node, definitions), definitions)
    if isinstance(node.get("additionalProperties"), dict) and not node.get("properties"):
        return f"map of {_type(node['additionalProperties'], definitions)}"
    return repr(node["const"]) if "const" in node else _simple(node)


def _simple(node: dict[str, Any]) -> str:
    """A type that has no other one in it."""
    said = node.get("type")
    if said is None:
        return "string" if all(isinstance(each, str) for each in node.get("enum", (0,))) else "any"
    if isinstance(said, list):
        return " or ".join(map(str, said))
    return str(node["format"]) if said == "string" and node.get("format") in _FORMATS else str(said)


_FORMATS: Final = frozenset({"date", "date-time", "time", "duration", "uuid", "uri", "email"})
_LIMITS: Final = {
    "enum": "one of {}",
    "default": "default {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "greater than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
    "pattern": "matches {}",
}


def _limits(node: dict[str, Any]) -> str:
    words = []
    for keyword, template in _LIMITS.items():
        value = node.get(keyword)
        if value is None or isinstance(value, dict):  # a default of None is said by the type, `or null`
            continue
        listed = isinstance(value, list | tuple)
        value = str(value).lower() if isinstance(value, bool) else value
        text = template.format(", ".join(map(str, value)) or "none" if listed else value)
        if value == "":
            text = f"{keyword} empty"
        words.append(text.removesuffix("s") if value == 1 and text.endswith(("characters", "items")) else text)
    return ", ".join(words)
