"""The mirror's directory: events in, files that hold exactly them out; any number of kills in between.

    <directory>/<tenant>/events/2026-01-31.jsonl     whole events of a day
    <directory>/<tenant>/feed.jsonl                  a small line per event, from the first one on
    <directory>/.position.json                       how far all that is durable

A tenant's directory is readable by its group and nobody else; the directory itself can be passed through, not listed.
One process writes at a time (flock).
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agentplane.errors import Conflict
from agentplane.events.model import StoredEvent
from agentplane.mirror import files
from agentplane.mirror.lines import FEED, Form, lines
from agentplane.mirror.position import NAME, Position, read_position, write_position

LOCK: Final = ".lock"
ROOT_MODE: Final = 0o711


class Mirror:
    """Owned by one writer. `write` appends, `commit` makes it durable; what was not committed is written again."""

    def __init__(self, directory: Path, form: Form = Form.CLOUDEVENTS) -> None:
        self._directory = directory
        self._form = form
        self._lock: int | None = None
        self._dirty: set[str] = set()
        self.position = Position(form=form)

    def open(self) -> None:
        """Take the directory, and find out how far it is.

        Raises:
            Conflict: code `mirror.locked`: another process writes it. OSError: it cannot be used.
        """
        self.close()
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        files.make_directory(self._directory, ROOT_MODE)
        self._lock = _locked(self._directory / LOCK)
        self._dirty.clear()
        self.position = read_position(self._directory, self._form)
        try:
            for path, length in self.position.files.items():
                files.cut_partial_line(self._directory / path, length)
        except files.Shortened:
            self.begin_again()

    @property
    def intact(self) -> bool:
        """Whether the directory that was opened is still there, with its position."""
        if self._lock is None:
            return False
        try:
            same = os.path.samestat(os.fstat(self._lock), (self._directory / LOCK).stat())
        except FileNotFoundError:
            return False
        return same and (self.position.sequence == 0 or (self._directory / NAME).exists())

    def begin_again(self) -> None:
        """From the first event on: what is in the files is compared, what is missing is written."""
        self._dirty.clear()
        self.position = Position(form=self._form)

    def write(self, events: Sequence[StoredEvent]) -> int:
        """Append the events that follow the position; how many bytes they are. Not durable before `commit`.

        Raises:
            ValueError: they do not follow. files.Shortened: begin again. OSError.
        """
        if not events:
            return 0
        if events[0].sequence != self.position.sequence + 1:
            raise ValueError(f"event {events[0].sequence} does not follow {self.position.sequence}")
        found, lengths = lines(events, self._form), dict(self.position.files)
        for path in found:
            self._make_room(path, lengths)
        for path, data in found.items():
            files.put(self._directory / path, lengths.get(path, 0), bytes(data))
            lengths[path] = lengths.get(path, 0) + len(data)
            self._retire_older(path, lengths)
        self._dirty |= found.keys()
        last = events[-1]
        self.position = replace(self.position, sequence=last.sequence, event=str(last.event.id), files=lengths)
        return sum(map(len, found.values()))

    def commit(self) -> None:
        """Make everything written durable, then say so in the position. Raises files.Shortened, OSError."""
        if not self._dirty:
            return
        for path in self._dirty:
            files.sync(self._directory / path)
        write_position(self._directory, self.position)
        self._dirty.clear()

    def close(self) -> None:
        """Leave the directory to others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make_room(self, path: str, lengths: dict[str, int]) -> None:
        if path not in lengths:
            tenant = self._directory / path.split("/", 1)[0]
            files.make_directory(tenant)
            files.make_directory(tenant / "events")

    def _retire_older(self, path: str, lengths: dict[str, int]) -> None:
        """A tenant's new day ends the one before."""
        folder, _, name = path.rpartition("/")
        if name == FEED:
            return
        for older in [each for each in lengths if each.rpartition("/")[0] == folder and each < path]:
            files.finish(self._directory / older, lengths.pop(older))


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict("another process writes this mirror", code="mirror.locked", where=str(path.parent)) from None
    return descriptor
