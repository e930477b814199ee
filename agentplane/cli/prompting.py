"""Asking a person for what a document still lacks, field by field, each held to the model at once."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from agentplane.domains.model import Kind
from agentplane.domains.specs import spec_alone, words
from agentplane.ids import DNS_LABEL

Ask = Callable[[str], str]
Say = Callable[[str], None]


def fill(model: type[BaseModel], given: dict[str, Any], ask: Ask, say: Say, *, within: str = "") -> dict[str, Any]:
    """`given` with every required field that it lacks; nested models are asked for field by field."""
    filled = dict(given)
    for name, field in model.model_fields.items():
        key = field.alias or name
        place = f"{within}{key}"
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            if field.is_required() or key in filled:
                inner = filled.get(key, {})
                filled[key] = fill(nested, inner, ask, say, within=f"{place}.") if isinstance(inner, dict) else inner
        elif field.is_required() and key not in filled:
            filled[key] = _value(TypeAdapter(_annotated(field)), _words(place, field.description), ask, say)
    return filled


def _value(adapter: TypeAdapter[Any], prompt: str, ask: Ask, say: Say) -> Any:  # noqa: ANN401 - a field's value
    while True:
        text = ask(prompt)
        try:
            return adapter.dump_python(adapter.validate_strings(text), mode="json")
        except ValidationError as exc:
            say("  " + "; ".join(words(error) for error in exc.errors(include_input=False)))


def _annotated(field: Any) -> Any:  # noqa: ANN401 - pydantic's FieldInfo, and a type made of it
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _words(place: str, description: str | None) -> str:
    return f"{place} ({description})" if description else place


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
