"""The executor's state directory: one lock, one journal, and a directory per attempt.

    <state>/lock                                 held while a daemon lives: two must never share a journal
    <state>/draining                             its presence drains this host (an operator makes it)
    <state>/forgotten/<tenant>/<run>             the highest epoch whose files were deleted
    <state>/runs/<tenant>/<run>/<epoch>/         one attempt; made whole by one rename
        assignment.json state.json console.log
        shim/                                    the runner's own
        files/<outDir>/                          what the author gets

Never follows a link that a guest could have made: guests write nothing here, the collector does.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from agentplane.bus.subjects import TOKEN
from agentplane.durable import fsync_directory
from agentplane.errors import Conflict, Denied, Refused
from agentplane.runs.protocol import Assignment
from services.executor.durable import disk_errors, remove_tree, write_file
from services.executor.runstate import RunKey, RunRecord

_ASSIGNMENT: Final = "assignment.json"
_STATE: Final = "state.json"


class AttemptDirectory:
    """The files of one attempt."""

    def __init__(self, path: Path, key: RunKey) -> None:
        self.path = path
        self.key = key

    @property
    def console(self) -> Path:
        """What the guest wrote to its console, up to the cap."""
        return self.path / "console.log"

    @property
    def shim(self) -> Path:
        """The runner's own directory."""
        return self.path / "shim"

    @property
    def files(self) -> Path:
        """The root of what the author gets; `outDir` is below it."""
        return self.path / "files"

    def out_dir(self, relative: str) -> Path:
        """The artifact directory. Raises Refused (`run.out-dir`) if it would lie elsewhere."""
        path = Path(os.path.normpath(self.files / relative))
        if path != self.files and self.files not in path.parents:
            raise Refused(f"outDir {relative!r} leaves the run's directory", code="run.out-dir")
        return path

    def assignment(self) -> Assignment:
        """What was assigned, as claimed."""
        with disk_errors(self.path):
            return msgspec.json.decode((self.path / _ASSIGNMENT).read_bytes(), type=Assignment)

    def load(self) -> RunRecord:
        """How far it has come."""
        with disk_errors(self.path):
            return msgspec.json.decode((self.path / _STATE).read_bytes(), type=RunRecord)

    def save(self, record: RunRecord) -> None:
        """Remember how far it has come, durably. Raises Transient (`state-dir.full`)."""
        write_file(self.path / _STATE, msgspec.json.encode(record))


class StateDirectory:
    """All attempts of this host. One process at a time: see `open_state`."""

    def __init__(self, path: Path, lock: IO[bytes]) -> None:
        self.path = path
        self._lock = lock

    @property
    def draining(self) -> bool:
        """Whether an operator wants this host to take nothing new."""
        return (self.path / "draining").exists()

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def attempt(self, key: RunKey) -> AttemptDirectory:
        """Where an attempt lives. Raises Refused (`run.name`) for a name that is not one path segment."""
        for token in (key.tenant, key.run):
            if not TOKEN.fullmatch(token):
                raise Refused(f"{token!r} cannot name a run's directory", code="run.name")
        return AttemptDirectory(self.path / "runs" / key.tenant / key.run / str(key.epoch), key)

    def attempts(self) -> Iterator[AttemptDirectory]:
        """Every attempt that was claimed and not forgotten."""
        for state in sorted((self.path / "runs").glob(f"*/*/*/{_STATE}")):
            tenant, run, epoch = state.parts[-4:-1]
            if epoch.isdigit():
                yield AttemptDirectory(state.parent, RunKey(tenant, run, int(epoch)))

    def claim(self, assignment: Assignment, record: RunRecord) -> AttemptDirectory:
        """Make an attempt's directory, exclusively: the rename is the claim.

        Raises:
            Conflict: `run.epoch-taken`: this epoch, or a higher one of the same run, was here before.
            Transient: `state-dir.full`.
        """
        attempt = self.attempt(RunKey(assignment.tenant, assignment.run, assignment.epoch))
        if (seen := self._highest_epoch(attempt)) >= assignment.epoch:
            raise Conflict(f"{attempt.key}: epoch {seen} was here before", code="run.epoch-taken")
        draft = AttemptDirectory(attempt.path.with_name(f".{assignment.epoch}.new"), attempt.key)
        remove_tree(draft.path)
        with disk_errors(draft.path):
            draft.path.mkdir(parents=True)
            write_file(draft.path / _ASSIGNMENT, msgspec.json.encode(assignment))
            draft.save(record)
            draft.path.rename(attempt.path)
            fsync_directory(attempt.path.parent)
        return attempt

    def forget(self, key: RunKey) -> None:
        """Delete an attempt's files; its epoch stays remembered, so that it is never started again."""
        attempt = self.attempt(key)
        memory = self._memory(attempt)
        with disk_errors(memory):
            memory.parent.mkdir(parents=True, exist_ok=True)
        write_file(memory, str(max(key.epoch, self._remembered(attempt))).encode())
        remove_tree(attempt.path)

    def _memory(self, attempt: AttemptDirectory) -> Path:
        return self.path / "forgotten" / attempt.key.tenant / attempt.key.run

    def _remembered(self, attempt: AttemptDirectory) -> int:
        memory = self._memory(attempt)
        return int(memory.read_text()) if memory.exists() else 0

    def _highest_epoch(self, attempt: AttemptDirectory) -> int:
        parent = attempt.path.parent
        claimed = [int(path.name) for path in parent.iterdir() if path.name.isdigit()] if parent.is_dir() else []
        return max((self._remembered(attempt), *claimed))


def open_state(path: Path) -> StateDirectory:
    """Open, or make, a state directory and lock it for this process.

    Raises:
        Denied: `state-dir.foreign`: it belongs to another user.
        Conflict: `state-dir.locked`: another executor uses it.
        Transient, Broken: as `durable.disk_errors`.
    """
    with disk_errors(path):
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        if (owner := path.stat().st_uid) != os.geteuid():
            raise Denied(
                f"belongs to user {owner}, this is user {os.geteuid()}",
                code="state-dir.foreign",
                where=str(path),
                hint="start the executor as the directory's owner, or give it a directory of its own",
            )
        (path / "runs").mkdir(mode=0o700, exist_ok=True)  # of all tenants: nobody else looks in
        lock = (path / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.close()
        raise Conflict(
            "another executor uses it",
            code="state-dir.locked",
            where=str(path),
            hint="stop the other executor; two of them must never share a journal",
        ) from exc
    return StateDirectory(path, lock)
