"""The document against its schema: types, missing and unknown fields, numbers. Pure."""

import difflib
import itertools
from typing import Any, Final

from agentplane import schemas
from agentplane.bundles.case import Case, Findings, Path, fail, quote, warn
from agentplane.schemas import SchemaError

_CODES: Final = {"required": "missing", "additionalProperties": "unknown-field"}
_HINTED: Final = 200  # looking for a near name takes long; a hostile document has many
# in real bundles of the seeds, and in none of their schemas: carried along, or judged by a rule of its own
_TOLERATED: Final = frozenset(
    {
        ("spec", "governanceContext"),
        ("spec", "assessment"),
        ("spec", "integrationRefs"),
        ("spec", "policy", "abstractReasoning"),
        ("spec", "policy", "breakGlass"),
        ("spec", "policy", "controlMatrix"),
        ("spec", "policy", "globalDeployment"),
    }
)


def schema_name(case: Case) -> str:
    """Which schema judges the document; an unknown apiVersion is read as v0.1, so that all else is said too."""
    return "bundle.v0.2" if case.is_v0_2 else "bundle.v0.1"


def schema(case: Case) -> Findings:
    """The document is what its schema says."""
    for index, error in enumerate(schemas.check(schema_name(case), case.value)):
        path = _path(error)
        words = f"{_dotted(path)} {error.message}" if path else error.message
        yield fail(_CODES.get(error.keyword, "schema"), path, words, _hint(case, error) if index < _HINTED else None)


def unknown(case: Case) -> Findings:
    """Fields that the schema leaves open but does not know: kept, without effect, often a typing error."""
    yield from itertools.islice(_unknown(case.value, schemas.document(schema_name(case)), ()), _HINTED)


def _unknown(value: Any, rules: dict[str, Any], path: Path) -> Findings:  # noqa: ANN401 - any JSON value
    known: dict[str, Any] = rules.get("properties", {})
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, rules.get("items", {}), (*path, index))
    if not isinstance(value, dict) or not known:
        return
    for key, item in value.items():
        place = (*path, key)
        if key in known:
            yield from _unknown(item, known[key], place)
        elif rules.get("additionalProperties") is not False and place not in _TOLERATED:
            yield warn(
                "unknown-field", place, f"{quote(key)} is not a known field here; it has no effect", _near(key, known)
            )


def numbers(case: Case) -> Findings:
    """No fractions: what is signed is canonical, and canonical facts hold integers only."""
    for path, number in _floats(case.value, ()):
        hint = "Write an integer, or the number as a string."
        yield fail("number", path, f"{number!r} is not an integer", hint)


def _floats(value: Any, path: Path) -> list[tuple[Path, float]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _floats(item, (*path, key))]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _floats(item, (*path, index))]
    return [(path, value)] if isinstance(value, float) else []


def _path(error: SchemaError) -> Path:
    steps = error.path.split("/")[1:]
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def _dotted(path: Path) -> str:
    return quote(".".join(str(step) for step in path))


def _hint(case: Case, error: SchemaError) -> str | None:
    if error.keyword not in _CODES:
        return None
    *parents, key = _path(error)
    if error.keyword == "required":
        return f"Add {key}."
    rules = schemas.document(schema_name(case))
    for step in parents:
        rules = rules.get("properties", {}).get(step, rules.get("items", {}))
    return _near(str(key), rules.get("properties", {}))


def _near(key: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(sorted(known))}."
