"""Label selectors, as Kubernetes writes them: `tier=free,stage!=dev,zone in (a, b),!legacy,owner`. Pure."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from agentplane.errors import Refused
from agentplane.ids import LABEL_KEY, LABEL_VALUE

_EQUALS: Final = re.compile(rf"({LABEL_KEY})\s*(==|=|!=)\s*({LABEL_VALUE})")
_AMONG: Final = re.compile(rf"({LABEL_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EXISTS: Final = re.compile(rf"(!?)\s*({LABEL_KEY})")
_COMMA: Final = re.compile(r",(?![^(]*\))")  # not between brackets
MAX_CHARS: Final = 2048


class Requirement(msgspec.Struct, frozen=True):
    """One condition. `op`: `in`, `notin` (also where the key is missing), `exists`, `missing`."""

    key: str
    op: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it."""
        match self.op:
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case _:
                return self.key not in labels


def parse(text: str) -> tuple[Requirement, ...]:
    """All conditions of a selector; each must hold. Raises Refused, code `query.selector`."""
    if not text.strip():
        return ()
    if len(text) > MAX_CHARS:
        raise Refused(f"a selector of {len(text)} characters", code="query.selector")
    return tuple(_requirement(part.strip()) for part in _COMMA.split(text))


def matches(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """Whether labels meet all conditions."""
    return all(each.holds(labels) for each in requirements)


def _requirement(part: str) -> Requirement:
    if found := _EQUALS.fullmatch(part):
        return Requirement(found[1], "notin" if found[2] == "!=" else "in", frozenset({found[3]}))
    if found := _AMONG.fullmatch(part):
        values = frozenset(each.strip() for each in found[3].split(","))
        if all(re.fullmatch(LABEL_VALUE, each) for each in values):
            return Requirement(found[1], found[2], values)
    elif found := _EXISTS.fullmatch(part):
        return Requirement(found[2], "missing" if found[1] else "exists")
    raise Refused(
        f"{part[:80]!r} is no condition on labels",
        code="query.selector",
        hint="key=value, key!=value, key in (a,b), key notin (a,b), key, !key",
    )
