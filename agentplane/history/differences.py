"""What differs between two JSON values, field by field. Pure."""

from collections.abc import Collection, Iterator
from typing import Any, Final

from agentplane.runs.model import Wire


class Change(Wire, frozen=True, kw_only=True):
    """One field. `op`: `added` (before is null), `removed` (after is null) or `changed`."""

    path: str  # dotted, list positions in brackets: "leases[0].epoch"
    op: str
    before: Any = None
    after: Any = None


_ABSENT: Final = object()


def differences(before: Any, after: Any, *, ignore: Collection[str] = ()) -> tuple[Change, ...]:  # noqa: ANN401 - JSON
    """Every field that is in one of two JSON values only, or differs, in order. `ignore`: names at the top level.

    `null` counts as absent: a field that becomes known is added.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        before = {name: value for name, value in before.items() if name not in ignore}
        after = {name: value for name, value in after.items() if name not in ignore}
    return tuple(_walk("", before, after))


def _walk(path: str, before: Any, after: Any) -> Iterator[Change]:  # noqa: ANN401 - JSON
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            inner = f"{path}.{name}" if path else name
            yield from _walk(inner, before.get(name, _ABSENT), after.get(name, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            yield from _walk(f"{path}[{index}]", _at(before, index), _at(after, index))
    elif (change := _change(path, before, after)) is not None:
        yield change


def _at(values: list[Any], index: int) -> Any:  # noqa: ANN401 - JSON
    return values[index] if index < len(values) else _ABSENT


def _change(path: str, before: Any, after: Any) -> Change | None:  # noqa: ANN401 - JSON
    gone = before is None or before is _ABSENT
    empty = after is None or after is _ABSENT
    if (gone and empty) or (type(before) is type(after) and before == after):
        return None
    if gone:
        return Change(path=path, op="added", after=after)
    if empty:
        return Change(path=path, op="removed", before=before)
    return Change(path=path, op="changed", before=before, after=after)
