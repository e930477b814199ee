"""Types of events that people and agents may record themselves, held to their structs. Pure.

A domain declares them; `event.record-requested` is the wish, the event itself the fact. What controllers emit is not
among them: nobody else may say that.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from agentplane.errors import NotFound, Refused
from agentplane.events.model import StreamId

# first words of types that only parts of the control plane say
RESERVED: Final = frozenset({"resource", "controller", "run", "executor", "intent", "event", "gate", "evidence"})
TYPE: Final = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)+")
_NEAR: Final = 3
_ENUM: Final = re.compile(r"Invalid enum value .*?(?= - at |$)", re.DOTALL)

S = TypeVar("S", bound=msgspec.Struct)
StreamOf = Callable[[str, str, dict[str, Any], str], StreamId]


@dataclass(frozen=True, kw_only=True)
class FactType:
    """A type of fact that may be recorded. `stream`: (tenant, type, data, actor) → whose history such an event is."""

    name: str  # "work_order.created": a family, a dot, past tense
    data: type[msgspec.Struct]
    stream: StreamOf
    version: int = 1
    description: str = ""
    # what is wrong with data that a history may say and somebody who records by hand does not mean; None: nothing
    slip: Callable[[Any], str | None] | None = None

    @property
    def family(self) -> str:
        """The first word."""
        return self.name.partition(".")[0]


def find(types: Mapping[str, FactType], name: str) -> FactType | None:
    """A type by its name; None: of no family that a domain declares.

    Raises:
        NotFound: code `event.type-unknown`: the family is known, the type is not; near names are in the hint.
    """
    if name in types:
        return types[name]
    family = name.partition(".")[0]
    kin = sorted(each.name for each in types.values() if each.family == family)
    if not kin:
        return None
    near = difflib.get_close_matches(name, kin, n=_NEAR, cutoff=0.5) or kin
    raise NotFound(
        f"the family {family!r} has no event type {name[:80]!r}",
        code="event.type-unknown",
        hint=f"did you mean {', '.join(near[:_NEAR])}? `agentplane events types` lists all",
    )


def check(type_: FactType, data: Mapping[str, Any]) -> None:
    """Hold data to a type's struct; fields that it does not declare are errors, so that slips of the pen are seen.

    Raises:
        Refused: code `event.data-invalid`; the field is named, its value is not.
    """
    known = {field.encode_name for field in msgspec.structs.fields(type_.data)}
    hint = f"agentplane events schema {type_.name}"
    if extra := sorted(str(name)[:80] for name in data.keys() - known):
        near = difflib.get_close_matches(extra[0], sorted(known), n=1)
        words = f"; did you mean {near[0]!r}?" if near else ""
        raise Refused(
            f"unknown fields: {', '.join(extra[:_NEAR])}{words}", code="event.data-invalid", where=type_.name, hint=hint
        )
    try:
        found = decode(type_.data, data)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise Refused(problem(exc), code="event.data-invalid", where=type_.name, hint=hint) from None
    if type_.slip is not None and (slip := type_.slip(found)) is not None:
        raise Refused(slip, code="event.data-invalid", where=type_.name, hint=hint)


def decode(type_: type[S], data: Mapping[str, Any]) -> S:
    """Data as their struct; a field that is null is as one that is left out. Raises msgspec.ValidationError."""
    return msgspec.convert({name: value for name, value in data.items() if value is not None}, type_, strict=True)


def problem(exc: Exception) -> str:
    """What is wrong with data, without the value."""
    return _ENUM.sub("not one of the values that are known", str(exc))


def json_schema(type_: FactType) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a type's data."""
    (root,), definitions = msgspec.json.schema_components([type_.data], ref_template="#/$defs/{name}")
    own = definitions.pop(root["$ref"].rpartition("/")[2])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **own,
        "title": type_.name,
        "description": type_.description,
        **({"$defs": definitions} if definitions else {}),
    }


def collect(declared: Iterable[tuple[str, Iterable[FactType]]]) -> dict[str, FactType]:
    """All types by name; `declared`: each domain's name and types. A family belongs to one domain.

    Raises:
        Refused: code `domain.invalid`.
    """
    found: dict[str, FactType] = {}
    owners: dict[str, str] = {}
    for domain, types in declared:
        for each in types:
            if not TYPE.fullmatch(each.name) or each.family in RESERVED or each.version < 1:
                raise _invalid(domain, f"{each.name[:63]!r} is not a type that may be recorded")
            if each.name in found or owners.setdefault(each.family, domain) != domain:
                raise _invalid(domain, f"the event type {each.name}, or its family, is taken")
            found[each.name] = each
    return found


def _invalid(domain: str, message: str) -> Refused:
    return Refused(message, code="domain.invalid", where=f"domain {domain}", hint="docs/domains.md")
