"""Opening a backup: of the right thing, of a version that can be read here, every file as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentplane.backup import database, manifest
from agentplane.backup.manifest import Manifest
from agentplane.backup.sources import Of
from agentplane.errors import Refused
from agentplane.store.migrate import latest_version

Say = Callable[[str], None]
_RESTORED_WITH: Final = {"stack": "--state-dir", "control": "--database DIR", "executor": "--executor DIR"}


def open_backup(source: Path, of: Of, say: Say) -> Manifest:
    """Its manifest, once every file was compared with it.

    Raises: NotFound, Refused, Tampered: it is partial, damaged, of something else or of another version.
    """
    found = manifest.read(source)
    where = str(source / manifest.NAME)
    if found.of != of:
        hint = f"restore it with {_RESTORED_WITH[found.of]}"
        raise Refused(f"is of {_words(found.of)}", code="backup.other-kind", where=where, hint=hint)
    _check_versions(found, where)
    say(f"{len(found.files)} files against their SHA-256")
    manifest.check_files(source, found)
    return found


def _words(of: Of) -> str:
    return {"stack": "a stack", "control": "a control host", "executor": "an executor host"}[of]


def _check_versions(found: Manifest, where: str) -> None:
    if found.postgres_major is not None and (installed := database.major()) != found.postgres_major:
        raise Refused(
            f"made with PostgreSQL {found.postgres_major}; here is {installed}, which cannot read its files",
            code="backup.postgres-version",
            where=where,
            hint=f"restore with PostgreSQL {found.postgres_major} first on PATH, then pg_dump into the new one",
        )
    if found.schema_version > latest_version():
        raise Refused(
            f"schema version {found.schema_version}; this program knows {latest_version()}",
            code="backup.schema",
            where=where,
            hint=f"restore with agentplane {found.agentplane} or newer",
        )
