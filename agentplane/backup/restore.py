"""Making a state directory of a backup. It appears by one rename, after everything in it was read and verified."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from agentplane.backup import attempts, audit, database
from agentplane.backup.journals import Journal
from agentplane.backup.manifest import JournalMark, LogMark, Manifest
from agentplane.backup.read import open_backup
from agentplane.backup.sources import SECRET_DIRECTORIES
from agentplane.backup.take import CONFIG, JOURNAL, POSTGRES, SECRET, TRUSTED
from agentplane.durable import fsync_directory
from agentplane.errors import Broken, Conflict, Refused, Tampered
from agentplane.evidence.edge import load_private_key, load_public_key, load_trusted_keys
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_or_choose
from agentplane.stack.postgres import write_passfile
from agentplane.stack.provision import DATABASE, EXECUTOR, prepare_root

Say = Callable[[str], None]
_SUPERUSER = "postgres"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restored state directory holds."""

    directory: str
    backup_made_at: str
    log: LogMark
    events_after_mark: int  # that were appended while the backup was taken
    journal: JournalMark


def restore(source: Path, root: Path, *, keys: Path | None, say: Say) -> Restored:
    """Restore a backup as the state directory `root`, which must be empty or not there; then `stack up` starts it.

    `keys`: a directory with the private keys control.key and exec-local.key, for a backup made without them.

    Raises:
        NotFound, Refused, Tampered: the backup is partial, damaged, of another version, or keys are missing or wrong.
        Conflict: `backup.not-empty`. Broken: `backup.postgres`, `backup.io`.
    """
    found = open_backup(source, "stack", say)
    if root.exists() and any(root.iterdir()):
        hint = "restore into a new directory: --state-dir"
        raise Conflict("is not empty", code="backup.not-empty", where=str(root), hint=hint)
    staging = root.with_name(root.name + ".restoring")
    if staging.exists():
        hint = f"another restore is at work, or was killed: rm -r {staging}"
        raise Conflict("is there already", code="backup.restoring", where=str(staging), hint=hint)
    try:
        restored = _build(source, found, Layout(staging), keys, say)
        staging.rename(root)
        fsync_directory(root.parent)
    except OSError as exc:
        raise Broken(f"cannot be written: {exc.strerror}", code="backup.io", where=str(exc.filename or root)) from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return msgspec.structs.replace(restored, directory=str(root))


def _build(source: Path, found: Manifest, layout: Layout, keys: Path | None, say: Say) -> Restored:
    if found.log is None or found.journal is None:
        raise Refused("is of a stack, without its log or journal", code="backup.format", where=str(source))
    prepare_root(layout)
    _put_keys(source, found, layout, keys)
    trusted = load_trusted_keys(layout.trusted_keys)
    _put_files(source, layout)
    say("the journal")
    journal = Journal(layout.executor / "journal", EXECUTOR, trusted)
    if journal.mark() != found.journal:
        raise Tampered("is not the one that was backed up", code="backup.journal", where=str(source / JOURNAL))
    say("the database")
    data = database.make_home(layout.postgres)
    database.unpack(source / POSTGRES, data)
    with database.private_server(data) as conninfo:
        say("every event and every committed statement")
        log = audit.audit(f"{conninfo} dbname={DATABASE}", found.log, trusted, journal.confirm)
        password = secrets.token_hex(24)
        database.set_password(conninfo, _SUPERUSER, password)
    write_passfile(layout.passfiles / _SUPERUSER, load_or_choose(layout.ports)["postgres"], _SUPERUSER, password)
    return Restored(
        directory="",
        backup_made_at=found.made_at,
        log=log,
        events_after_mark=log.events - found.log.events,
        journal=journal.mark(),
    )


def _put_files(source: Path, layout: Layout) -> None:
    layout.executor.mkdir(mode=0o711)
    attempts.unpack(source / attempts.ARCHIVE, layout.executor)
    shutil.copytree(source / JOURNAL, layout.executor / "journal")
    shutil.copyfile(source / CONFIG / "inventory.json", layout.config / "inventory.json")


def _put_keys(source: Path, found: Manifest, layout: Layout, keys: Path | None) -> None:
    shutil.copytree(source / TRUSTED, layout.trusted_keys)
    private = keys
    if private is None and found.with_keys:
        private = source / SECRET / "keys"
        for name in SECRET_DIRECTORIES:
            shutil.copytree(source / SECRET / name, layout.root / name, dirs_exist_ok=True)
    if private is None:
        raise Refused(
            "has no private keys, and the journal can only be continued by the key that signed it",
            code="backup.keys",
            where=str(source),
            hint=f"--keys DIR, a directory with control.key and {EXECUTOR}.key",
        )
    for name, public in (("control", "control.pub"), (EXECUTOR, f"executors/{EXECUTOR}.pub")):
        _put_key(private / f"{name}.key", layout.trusted_keys / public, layout.keys / name)


def _put_key(private: Path, public: Path, target: Path) -> None:
    if load_private_key(private).public_key() != load_public_key(public):
        raise Refused("is not the private half of the key that was in use", code="backup.keys", where=str(private))
    key = target.with_name(target.name + ".key")
    key.touch(mode=0o600)
    key.write_bytes(private.read_bytes())
    shutil.copyfile(public, target.with_name(target.name + ".pub"))
