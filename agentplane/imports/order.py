"""In which order imported lines are stored, whatever order they came in. Pure.

An export of ours is stored in its own sequence. Everything else: by the time of the event; within one moment causes
before effects, then by id. So a shuffled file gives the same log.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec


class Item(msgspec.Struct, frozen=True, gc=False):
    """What the order depends on, and where the line is. Small: there may be millions."""

    id: uuid.UUID
    cause: uuid.UUID | None
    time: datetime
    sequence: int | None
    number: int  # of the line
    offset: int  # of its first byte
    size: int
    digest: bytes
    others: tuple[uuid.UUID, ...] = ()  # more ids under which the log may have it


def ordered(items: Sequence[Item]) -> list[Item]:
    """The lines as they are to be stored."""
    if all(item.sequence is not None for item in items):
        return sorted(items, key=lambda item: (item.sequence or 0, item.id))
    by_id = {item.id: item for item in items}
    depths: dict[uuid.UUID, int] = {}
    return sorted(items, key=lambda item: (item.time, _depth(item, by_id, depths), item.id))


def circle(items: Sequence[Item]) -> tuple[Item, ...]:
    """Lines that cause each other in a circle; empty: there is none."""
    by_id = {item.id: item for item in items}
    clear: set[uuid.UUID] = set()
    for start in items:
        chain: dict[uuid.UUID, Item] = {}
        here: Item | None = start
        while here is not None and here.id not in clear:
            if here.id in chain:
                ids = list(chain)
                return tuple(chain[id_] for id_ in ids[ids.index(here.id) :])
            chain[here.id] = here
            here = by_id.get(here.cause) if here.cause else None
        clear.update(chain)
    return ()


def _depth(item: Item, by_id: Mapping[uuid.UUID, Item], depths: dict[uuid.UUID, int]) -> int:
    """How many causes of the same moment stand before a line."""
    chain: list[Item] = []
    here: Item | None = item
    while here is not None and here.id not in depths and here.time == item.time:
        depths[here.id] = 0  # a circle ends here
        chain.append(here)
        here = by_id.get(here.cause) if here.cause else None
    below = depths[here.id] if here is not None and here.id in depths and here.time == item.time else -1
    for below, each in enumerate(reversed(chain), start=below + 1):  # noqa: B020 - counts up from the cause
        depths[each.id] = below
    return depths[item.id]
