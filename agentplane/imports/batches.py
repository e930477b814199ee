"""Lines as intents: batches that fit into a message, each with an id that repeating it keeps. Pure."""

import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime

from agentplane.events.codec import data_of
from agentplane.events.model import Event, Phase
from agentplane.ids import EventId
from agentplane.imports.model import (
    IMPORT_REQUESTED,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    ImportRequested,
    Line,
    import_stream,
)
from agentplane.imports.reading import line_size


def batches(lines: Iterable[Line]) -> Iterator[tuple[Line, ...]]:
    """Lines in order, at most 500 and about 640 KiB together; a larger line is alone."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        own = line_size(line)
        if batch and (len(batch) == MAX_BATCH or size + own > MAX_BATCH_BYTES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(line)
        size += own
    if batch:
        yield tuple(batch)


def request_import(import_id: uuid.UUID, *, tenant: str, actor: str, now: datetime, wish: ImportRequested) -> Event:
    """The intent `event.import-requested`; its id follows from the import's and the batch's number."""
    return Event(
        id=EventId(uuid.uuid5(import_id, f"batch/{wish.batch}")),
        stream=import_stream(tenant, import_id.hex),
        phase=Phase.INTENT,
        type=IMPORT_REQUESTED,
        actor=actor,
        time=now,
        correlation_id=import_id,
        data=data_of(wish),
    )
