"""Asking a person for what a document still lacks, field by field, each held to the model at once."""

from collections.abc import Callable
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from agentplane.documents.parse import parse_document
from agentplane.domains.model import Kind
from agentplane.domains.specs import spec_alone, words
from agentplane.errors import Refused
from agentplane.ids import DNS_LABEL

Ask = Callable[[str], str]
Say = Callable[[str], None]

_BRACKETS: Final = {"array": "[]", "object": "{}"}
_LIKE: Final = {"[]": "like a, b", "{}": "like key: value, key: value"}


def fill(model: type[BaseModel], given: dict[str, Any], ask: Ask, say: Say, *, within: str = "") -> dict[str, Any]:
    """`given` with every required field that it lacks; models, and lists of them, are asked for field by field."""
    filled = dict(given)
    for name, field in model.model_fields.items():
        key = field.alias if field.alias and name not in filled else name
        place = f"{within}{key}"
        nested = _model(field.annotation)
        if nested is not None and (field.is_required() or key in filled):
            inner = filled.get(key, {})
            filled[key] = fill(nested, inner, ask, say, within=f"{place}.") if isinstance(inner, dict) else inner
        elif field.is_required() and key not in filled:
            filled[key] = _asked(field, place, ask, say)
    return filled


def _asked(field: Any, place: str, ask: Ask, say: Say) -> Any:  # noqa: ANN401 - pydantic's FieldInfo, and its value
    adapter = TypeAdapter(_annotated(field))
    if (each := _listed_model(field.annotation)) is not None:
        return _several(adapter, each, place, field.description, ask, say)
    return _value(adapter, place, field.description, ask, say)


def _several(  # noqa: PLR0917 - one call
    adapter: TypeAdapter[Any], model: type[BaseModel], place: str, description: str | None, ask: Ask, say: Say
) -> list[Any]:
    """Items of a list, one after the other, until the person has no more and the list fits."""
    say(f"{place}: {description}" if description else place)
    items: list[Any] = []
    while True:
        items.append(fill(model, {}, ask, say, within=f"{place}[{len(items)}]."))
        if _yes(ask, f"another one in {place}? y or n"):
            continue
        try:
            adapter.validate_python(items)
        except ValidationError as exc:
            _tell(exc, say)
            items = []
        else:
            return items


def _yes(ask: Ask, question: str) -> bool:
    while True:
        answer = ask(question).strip().lower()
        if answer in {"y", "yes", "n", "no"}:
            return answer.startswith("y")


def _value(adapter: TypeAdapter[Any], place: str, description: str | None, ask: Ask, say: Say) -> Any:  # noqa: ANN401 - a field's value
    """One value; lists and tables are written as in YAML, their outermost brackets left out or not."""
    schema = adapter.json_schema()
    kinds = _types(schema, schema.get("$defs", {}))
    brackets = next((_BRACKETS[kind] for kind in sorted(kinds) if kind in _BRACKETS), "")
    prompt = _words(place, description, schema, brackets)
    while True:
        text = ask(prompt)
        try:
            value = adapter.validate_python(_parsed(text, brackets)) if brackets else adapter.validate_strings(text)
            return adapter.dump_python(value, mode="json", by_alias=True)
        except ValidationError as exc:
            _tell(exc, say)
        except Refused as error:
            say(f"  {error.message}")


def _parsed(text: str, brackets: str) -> Any:  # noqa: ANN401 - a field's value
    """What is written, by the rules of documents. Raises Refused."""
    if text.strip() == "null":
        return None
    whole = text if text.strip().startswith(brackets[0]) else f"{brackets[0]}{text}{brackets[1]}"
    return parse_document(f"value: {whole}".encode(), "the answer.yaml").value["value"]


def _tell(exc: ValidationError, say: Say) -> None:
    for error in exc.errors(include_input=False):
        where = ".".join(map(str, error["loc"]))
        say(f"  {where}: {words(error)}" if where else f"  {words(error)}")


def _model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _listed_model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type
    """The model that a list or tuple is of."""
    inner = [each for each in get_args(annotation) if each is not Ellipsis]
    return _model(inner[0]) if len(inner) == 1 and getattr(annotation, "__origin__", None) in {list, tuple} else None


def _annotated(field: Any) -> Any:  # noqa: ANN401 - pydantic's FieldInfo, and a type made of it
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _types(schema: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """What JSON types a value may have."""
    if "$ref" in schema:
        return _types(definitions[str(schema["$ref"]).rpartition("/")[2]], definitions)
    inner = [each for option in schema.get("anyOf", ()) for each in _types(option, definitions)]
    return {str(schema.get("type")), *inner}


def _words(place: str, description: str | None, schema: dict[str, Any], brackets: str) -> str:
    choices = schema.get("enum")
    how = ", ".join(map(str, choices)) if choices else _LIKE.get(brackets)
    if schema.get("type") == "boolean":
        how = "true, false"
    said = ": ".join(each for each in (description, how) if each)
    return f"{place} ({said})" if said else place


def complete(kind: Kind, value: dict[str, Any], name: str | None, ask: Ask, say: Say) -> dict[str, Any]:
    """A document of a kind with everything that is required in it."""
    bare = not value.keys() & {"apiVersion", "kind", "metadata", "spec"}
    spec = spec_alone(kind, value) if bare else value.get("spec", {})
    metadata = dict(value.get("metadata") or {"name": name or value.get("name") if bare else name})
    while not DNS_LABEL.fullmatch(str(metadata.get("name") or "")):
        if metadata.get("name"):
            say("  a name is a DNS label: a-z, 0-9 and '-', at most 63")
        metadata["name"] = ask(f"name of the {kind.name}")
    filled = fill(kind.spec, spec, ask, say) if isinstance(spec, dict) else spec
    head = {"apiVersion": kind.api_version, "kind": kind.name} if bare else value
    return {**head, "metadata": metadata, "spec": filled}
