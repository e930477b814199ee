"""Payloads: an event's `data` as the struct it stands for, and back. Pure."""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec

from agentplane.errors import Refused
from agentplane.events.model import Event, Phase

T = TypeVar("T")
_ARRAYS: Final = (list, tuple)  # a tuple stays one when a struct is taken apart


def payload(event: Event, type_: type[T]) -> T:
    """The event's data as a wire struct. Of an intent every field must be known: a wish is carried out whole or not.

    Raises:
        Refused: code `event.payload`: the data are not of that shape; the field is named.
    """
    try:
        if event.phase is Phase.INTENT:
            return strictly(event.data, type_)
        return msgspec.convert(event.data, type_, strict=True)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise Refused(
            f"data of {event.type} is not a {type_.__name__}: {exc}",
            code="event.payload",
            where=f"event {event.id}",
            hint="was it written by a newer version?",
        ) from exc


def strictly(value: Any, type_: type[T]) -> T:  # noqa: ANN401 - JSON
    """A JSON value as a struct that says all of it. Raises msgspec.ValidationError, also for a field too many."""
    found = msgspec.convert(value, type_, strict=True)
    if unknown := unknown_fields(value, found):
        raise msgspec.ValidationError(f"Object contains unknown field `{unknown[0][:80]}`")
    return found


def data_of(struct: msgspec.Struct) -> dict[str, Any]:
    """A wire struct as an event's data: JSON objects, arrays, strings, integers, booleans and nulls only."""
    data = msgspec.json.decode(msgspec.json.encode(struct))
    if not isinstance(data, dict):
        raise TypeError(f"{type(struct).__name__} is not an object on the wire")
    return data


def unknown_fields(value: Any, read: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON, and the struct that it was read as
    """Dotted paths of the fields of a JSON value that are not in what was read of it: a newer peer's, or mistakes."""
    known = msgspec.to_builtins(read)
    return () if _is_known(value, known) else tuple(_unknown("", value, known))


def _is_known(value: Any, read: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether there is nothing to put into words. Equal parts, the usual case, are passed over in C."""
    if type(value) is dict and type(read) is dict:
        for name, inner in value.items():
            if name not in read:
                if inner is not None:
                    return False
            elif inner != read[name] and not _is_known(inner, read[name]):
                return False
    elif type(value) is list and type(read) in _ARRAYS:
        for inner, known in zip(value, read, strict=False):
            if inner != known and not _is_known(inner, known):
                return False
    return True


def _unknown(path: str, value: Any, read: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, dict) and isinstance(read, dict):
        for name, inner in value.items():
            here = f"{path}.{name}" if path else str(name)
            if name in read:
                yield from _unknown(here, inner, read[name])
            elif inner is not None:  # null is as if it were not there
                yield here
    elif isinstance(value, list) and isinstance(read, _ARRAYS):
        for index, (inner, known) in enumerate(zip(value, read, strict=False)):
            yield from _unknown(f"{path}[{index}]", inner, known)
