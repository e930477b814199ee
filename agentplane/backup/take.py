"""Taking a backup of a running stack. Stops nothing, locks nothing.

The order makes it consistent: first the database, then attempts, then the journal. So the journal is never behind what
the database calls committed, which an executor could not explain; what it is ahead, it delivers after a restore.
"""

import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from agentplane import __version__
from agentplane.backup import attempts, audit, database, journals, manifest
from agentplane.backup.manifest import Manifest
from agentplane.clock import rfc3339
from agentplane.errors import Broken, Conflict, Refused
from agentplane.evidence.edge import fsync_directory, load_trusted_keys
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports
from agentplane.stack.provision import EXECUTOR, conninfo
from agentplane.store import roles
from agentplane.store.migrate import latest_version

POSTGRES, JOURNAL, TRUSTED, CONFIG, SECRET = "postgres", "journal", "trusted", "config", "private"
SECRET_DIRECTORIES: Final = ("keys", "nkeys", "secrets")  # passwords are made anew by a restore

Say = Callable[[str], None]


def take(layout: Layout, target: Path, *, with_keys: bool, now: datetime, say: Say) -> Manifest:
    """Write a backup into a new directory, which appears when it is whole.

    `with_keys`: private keys and secrets too; such a backup is as secret as the host itself.

    Raises:
        Refused: `backup.no-stack`. Conflict: `backup.target`: there is something already.
        Transient: the database is away. Broken: `backup.postgres`, `backup.io`.
    """
    ports = load_ports(layout.ports)
    if ports is None or not layout.context.exists():
        raise Refused(f"there is no stack in {layout.root}", code="backup.no-stack", hint="name it with --state-dir")
    draft = target.absolute().with_name(target.name + ".partial")
    if target.exists() or draft.exists():
        found = target if target.exists() else draft
        raise Conflict("is there already", code="backup.target", where=str(found), hint="name a new directory")
    try:
        draft.mkdir(mode=0o700, parents=True)
        made = _fill(layout, ports["postgres"], draft, with_keys=with_keys, now=now, say=say)
        _make_durable(draft)
        draft.rename(target)
        fsync_directory(target.absolute().parent)
    except OSError as exc:
        raise Broken(f"cannot be written: {exc.strerror}", code="backup.io", where=str(exc.filename or draft)) from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return made


def _fill(layout: Layout, port: int, draft: Path, *, with_keys: bool, now: datetime, say: Say) -> Manifest:
    trusted = load_trusted_keys(layout.trusted_keys)
    say("the log's mark")
    before = audit.mark(conninfo(layout, port, roles.OWNER))
    say("the database")
    database.base_backup(layout.postgres / "socket", port, layout.passfiles / "postgres", draft / POSTGRES)
    say("attempts and the journal")
    attempts.pack(layout.executor, draft / attempts.ARCHIVE)
    journals.copy(layout.executor / "journal", draft / JOURNAL)
    journal = journals.Journal(draft / JOURNAL, EXECUTOR, trusted).mark()
    shutil.copytree(layout.trusted_keys, draft / TRUSTED)
    (draft / CONFIG).mkdir()
    for path in layout.config.glob("*.json"):
        shutil.copyfile(path, draft / CONFIG / path.name)
    if with_keys:
        _copy_secrets(layout, draft / SECRET)
    made = Manifest(
        format=manifest.FORMAT,
        made_at=rfc3339(now),
        agentplane=__version__,
        postgres_major=database.major(),
        schema_version=latest_version(),
        log=before,
        journal=journal,
        with_keys=with_keys,
        files=manifest.describe(draft),
    )
    manifest.write(draft, made)
    _close(draft)
    return made


def _copy_secrets(layout: Layout, target: Path) -> None:
    target.mkdir(mode=0o700)
    for name in SECRET_DIRECTORIES:
        ignore = shutil.ignore_patterns("trusted") if name == "keys" else None
        shutil.copytree(layout.root / name, target / name, ignore=ignore)


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
