"""Keeping the mirror at the head of the log. It follows the sequence like a read model; a broken mirror stops alone.

Writing and fsync happen on a thread: the event loop goes on answering questions meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol

from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Broken
from agentplane.events.model import StoredEvent
from agentplane.mirror.directory import Mirror
from agentplane.mirror.files import Shortened
from agentplane.store.reader import LogReader
from services.projector.config import MirrorSettings, ProjectorSettings

log = get_logger()

_PAGE: Final = 256
_COMMIT_BYTES: Final = 4 * 1024 * 1024
# between two commits while events trickle in: an fsync for each event would take the disk from the database
_SETTLE_S: Final = 0.25


class Log(Protocol):
    """What the mirror needs of the log; agentplane.store.reader.LogReader."""

    async def read(self, after: int, limit: int = 1000) -> tuple[StoredEvent, ...]:
        """Events with sequence > after, in order."""
        ...

    async def head(self) -> int:
        """The last sequence."""
        ...

    def wakeups(self) -> AsyncIterator[None]:
        """Yields when there may be something new, and from time to time."""
        ...


def configured(wanted: MirrorSettings | None) -> Mirror | None:
    """The mirror that is wanted, if any; nothing is opened yet."""
    return None if wanted is None else Mirror(wanted.directory, wanted.format)


async def mirrored(settings: ProjectorSettings, mirror: Mirror, lifecycle: Lifecycle) -> None:
    """Keep the configured mirror, over a connection of its own, until told to stop."""
    reader = LogReader(settings.postgres.full_conninfo(), poll_s=settings.poll_seconds)
    try:
        await keep(reader, mirror, lifecycle)
    finally:
        mirror.close()
        await reader.close()


async def keep(source: Log, mirror: Mirror, lifecycle: Lifecycle) -> None:
    """Keep the mirror up to date until told to stop; whatever is in the way, say so once and try again."""
    trouble: str | None = None
    async for _ in source.wakeups():
        if lifecycle.stopping.is_set():
            break
        try:
            await catch_up(source, mirror)
            now = None
        except (AgentplaneError, OSError) as exc:
            now = f"{exc.code}: {exc}" if isinstance(exc, AgentplaneError) else f"{type(exc).__name__}: {exc}"
        if now != trouble:
            trouble = now
            log.warning("the mirror waits", reason=now) if now else log.info("the mirror continues")
        try:
            async with asyncio.timeout(_SETTLE_S):
                await lifecycle.stopping.wait()
        except TimeoutError:
            continue


async def catch_up(source: Log, mirror: Mirror) -> int:
    """Write everything that is in the log and not in the mirror; how many events were looked at.

    Raises:
        Conflict: `mirror.locked`. Broken: `mirror.ahead`, `mirror.other-log`. Transient. OSError.
    """
    if not mirror.intact:
        await asyncio.to_thread(mirror.open)
        await _check_same_log(source, mirror)
    count = waiting_bytes = 0
    try:
        while events := await source.read(mirror.position.sequence, _PAGE):
            waiting_bytes += await asyncio.to_thread(mirror.write, events)
            count += len(events)
            if waiting_bytes >= _COMMIT_BYTES:
                await asyncio.to_thread(mirror.commit)
                waiting_bytes = 0
        await asyncio.to_thread(mirror.commit)
    except Shortened as exc:
        log.warning("a file of the mirror was removed or cut; it is written again", path=str(exc))
        await asyncio.to_thread(mirror.begin_again)
        return count + await catch_up(source, mirror)
    return count


async def _check_same_log(source: Log, mirror: Mirror) -> None:
    """A mirror of another log, or of one that was restored from a backup, must not be mixed with this one."""
    try:
        trouble = await _strangeness(source, mirror)
    except BaseException:
        mirror.close()  # looked at again next time
        raise
    if trouble is not None:
        mirror.close()
        raise trouble


async def _strangeness(source: Log, mirror: Mirror) -> Broken | None:
    sequence, event = mirror.position.sequence, mirror.position.event
    hint = "move the directory away; it is written again from this log"
    if sequence == 0:
        return None
    if (head := await source.head()) < sequence:
        return Broken(f"the mirror is at {sequence}, the log ends at {head}", code="mirror.ahead", hint=hint)
    found = await source.read(sequence - 1, 1)
    if str(found[0].event.id) != event:
        return Broken(f"event {sequence} is another one in the log", code="mirror.other-log", hint=hint)
    return None
