"""Restoring what a host lost: the database of a control host, or the state of an executor host.

Verified before it is put where the units look for it. The units are stopped meanwhile; that is the operator's to do.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from agentplane.backup import attempts, audit, database
from agentplane.backup.journals import Journal
from agentplane.backup.manifest import JournalMark, LogMark
from agentplane.backup.read import open_backup
from agentplane.backup.take import JOURNAL, POSTGRES, TRUSTED
from agentplane.durable import fsync_directory
from agentplane.errors import Broken, Conflict, Refused, Tampered
from agentplane.evidence.edge import load_trusted_keys

_PARTS: Final = ("runs", "forgotten", "draining", "journal")  # the journal last: an executor without one starts anew
Say = Callable[[str], None]


class RestoredDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """A data directory that is ready for the server's unit."""

    directory: str
    backup_made_at: str
    log: LogMark
    events_after_mark: int  # that were appended while the backup was taken


class RestoredExecutor(msgspec.Struct, frozen=True, kw_only=True):
    """A state directory that is ready for the executor's unit."""

    directory: str
    backup_made_at: str
    journal: JournalMark


def restore_database(source: Path, data: Path, *, name: str, say: Say) -> RestoredDatabase:
    """Restore the database of a control host's backup as the PostgreSQL data directory `data`; `name`: the database.

    Raises:
        NotFound, Refused, Tampered: as `open_backup`; `backup.log`, `evidence.*`: it is not what was backed up.
        Conflict: `backup.not-empty`. Broken: `backup.postgres`, `backup.io`.
    """
    found = open_backup(source, "control", say)
    if found.log is None:
        raise Refused("has no log", code="backup.format", where=str(source))
    _require_empty(data)
    with _staging(data) as draft:
        say("the database")
        database.unpack(source / POSTGRES, draft)
        with database.private_server(draft) as conninfo:
            say("every event and every committed statement")
            trusted = load_trusted_keys(source / TRUSTED)
            log = audit.audit(f"{conninfo} dbname={name}", found.log, trusted, lambda *_: None)
        draft.rename(data)
    return RestoredDatabase(
        directory=str(data), backup_made_at=found.made_at, log=log, events_after_mark=log.events - found.log.events
    )


def restore_executor(source: Path, state_dir: Path, *, say: Say) -> RestoredExecutor:
    """Restore attempts and the journal into an executor's state directory; its keys may be there already.

    Raises:
        NotFound, Refused, Tampered: as `open_backup`; `backup.journal`: it is not the one that was backed up.
        Conflict: `backup.not-empty`. Broken: `backup.io`.
    """
    found = open_backup(source, "executor", say)
    if found.journal is None:
        raise Refused("has no journal", code="backup.format", where=str(source))
    for part in _PARTS:
        if (state_dir / part).exists():
            raise Conflict("is there already", code="backup.not-empty", where=str(state_dir / part))
    with _staging(state_dir / "all") as draft:
        draft.mkdir()
        say("attempts and the journal")
        attempts.unpack(source / attempts.ARCHIVE, draft)
        shutil.copytree(source / JOURNAL, draft / "journal")
        journal = Journal(draft / "journal", found.journal.executor, load_trusted_keys(source / TRUSTED)).mark()
        if journal != found.journal:
            raise Tampered("is not the one that was backed up", code="backup.journal", where=str(source / JOURNAL))
        _give_to_owner(draft, state_dir)
        for part in _PARTS:
            if (draft / part).exists():
                (draft / part).rename(state_dir / part)
        fsync_directory(state_dir)
    return RestoredExecutor(directory=str(state_dir), backup_made_at=found.made_at, journal=journal)


def _require_empty(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        hint = "stop the server and move the old directory away; it is never replaced"
        raise Conflict("is not empty", code="backup.not-empty", where=str(directory), hint=hint)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A path beside the target, gone afterwards."""
    draft = target.with_name(f".{target.name}.restoring")
    if draft.exists():
        hint = f"another restore is at work, or was killed: rm -r {draft}"
        raise Conflict("is there already", code="backup.restoring", where=str(draft), hint=hint)
    try:
        draft.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        yield draft
        fsync_directory(target.parent)
    except OSError as exc:
        raise Broken(f"cannot be written: {exc.strerror}", code="backup.io", where=str(exc.filename or target)) from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _give_to_owner(draft: Path, directory: Path) -> None:
    """What root restores belongs to whom the directory belongs."""
    if os.geteuid() != 0:
        return
    owner = directory.stat()
    for path in (draft, *draft.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
