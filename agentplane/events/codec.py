"""Payloads: an event's `data` as the struct it stands for, and back. Pure."""

from typing import Any, TypeVar

import msgspec

from agentplane.errors import Refused
from agentplane.events.model import Event

T = TypeVar("T")


def payload(event: Event, type_: type[T]) -> T:
    """The event's data as a wire struct.

    Raises:
        Refused: code `event.payload`: the data are not of that shape; the field is named.
    """
    try:
        return msgspec.convert(event.data, type_, strict=True)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise Refused(
            f"data of {event.type} is not a {type_.__name__}: {exc}",
            code="event.payload",
            where=f"event {event.id}",
            hint="was it written by a newer version?",
        ) from exc


def data_of(struct: msgspec.Struct) -> dict[str, Any]:
    """A wire struct as an event's data: JSON objects, arrays, strings, integers, booleans and nulls only."""
    data = msgspec.json.decode(msgspec.json.encode(struct))
    if not isinstance(data, dict):
        raise TypeError(f"{type(struct).__name__} is not an object on the wire")
    return data
