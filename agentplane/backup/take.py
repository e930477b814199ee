"""Taking a backup of what runs. Stops nothing, locks nothing.

The order makes it consistent: first the database, then attempts, then the journal. So the journal is never behind what
the database calls committed, which an executor could not explain; what it is ahead, it delivers after a restore. On
hosts of their own the same holds when the executors are backed up after the control host.
"""

import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from agentplane import __version__
from agentplane.backup import attempts, audit, database, journals, manifest
from agentplane.backup.manifest import JournalMark, LogMark, Manifest
from agentplane.backup.sources import Cluster, ExecutorState, Source
from agentplane.clock import rfc3339
from agentplane.durable import fsync_directory
from agentplane.errors import Broken, Conflict
from agentplane.evidence.edge import load_trusted_keys
from agentplane.evidence.keys import TrustedKeys
from agentplane.store.migrate import latest_version

POSTGRES, JOURNAL, TRUSTED, CONFIG, SECRET = "postgres", "journal", "trusted", "config", "private"
PARTIAL: Final = ".partial"

Say = Callable[[str], None]


def take(source: Source, target: Path, *, with_keys: bool, now: datetime, say: Say) -> Manifest:
    """Write a backup into a new directory, which appears when it is whole.

    `with_keys`: private keys and secrets too; such a backup is as secret as the host itself.

    Raises:
        Conflict: `backup.target`: there is something already. Transient: the database is away.
        Broken: `backup.postgres`, `backup.io`. Tampered: the journal does not verify.
    """
    draft = target.absolute().with_name(target.name + PARTIAL)
    if target.exists() or draft.exists():
        found = target if target.exists() else draft
        raise Conflict("is there already", code="backup.target", where=str(found), hint="name a new directory")
    try:
        draft.mkdir(mode=0o700, parents=True)
        made = _fill(source, draft, with_keys=with_keys, now=now, say=say)
        _make_durable(draft)
        draft.rename(target)
        fsync_directory(target.absolute().parent)
    except OSError as exc:
        raise Broken(f"cannot be copied: {exc.strerror}", code="backup.io", where=str(exc.filename or draft)) from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return made


def _fill(source: Source, draft: Path, *, with_keys: bool, now: datetime, say: Say) -> Manifest:
    shutil.copytree(source.trusted, draft / TRUSTED)
    if source.executor is not None:
        _add_own_keys(source.executor, draft / TRUSTED / "executors")
    trusted = load_trusted_keys(draft / TRUSTED)
    log = None if source.cluster is None else _copy_database(source.cluster, draft, say)
    journal = None if source.executor is None else _copy_executor(source.executor, draft, trusted, say)
    (draft / CONFIG).mkdir()
    for path in source.files:
        shutil.copyfile(path, draft / CONFIG / path.name)
    if with_keys:
        _copy_secrets(source.secrets, draft / SECRET)
    made = Manifest(
        format=manifest.FORMAT,
        of=source.of,
        made_at=rfc3339(now),
        agentplane=__version__,
        postgres_major=database.major() if log else None,
        schema_version=latest_version(),
        log=log,
        journal=journal,
        with_keys=with_keys,
        files=manifest.describe(draft),
    )
    manifest.write(draft, made)
    _close(draft)
    return made


def _copy_database(cluster: Cluster, draft: Path, say: Say) -> LogMark:
    say("the log's mark")
    before = audit.mark(cluster.conninfo)
    say("the database")
    database.base_backup(cluster.socket, cluster.port, cluster.passfile, draft / POSTGRES)
    return before


def _copy_executor(executor: ExecutorState, draft: Path, trusted: TrustedKeys, say: Say) -> JournalMark:
    say("attempts and the journal")
    attempts.pack(executor.directory, draft / attempts.ARCHIVE)
    journals.copy(executor.directory / "journal", draft / JOURNAL)
    return journals.Journal(draft / JOURNAL, executor.name, trusted).mark()


def _add_own_keys(executor: ExecutorState, directory: Path) -> None:
    """The public keys that it made itself (and had before), which nobody else on this host may know."""
    keys = executor.directory / "keys"
    found = [*keys.glob("current/*.pub"), *sorted(keys.glob("former/*.pub"))]
    directory.mkdir(mode=0o700, exist_ok=True)
    known = {path.read_bytes() for path in directory.glob("*.pub")}
    for number, path in enumerate(found):
        if path.read_bytes() not in known:
            shutil.copyfile(path, directory / f"{executor.name}.own-{number}.pub")


def _copy_secrets(directories: tuple[Path, ...], target: Path) -> None:
    target.mkdir(mode=0o700)
    for directory in directories:
        ignore = shutil.ignore_patterns("trusted") if directory.name == "keys" else None
        shutil.copytree(directory, target / directory.name, ignore=ignore)


def _close(directory: Path) -> None:
    for path in directory.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _make_durable(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    for path in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        fsync_directory(path)
