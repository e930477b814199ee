"""Versioned migrations: `migrations/NNNN_name.sql`, run once, in order, all pending ones in one transaction.

What ran is recorded with its checksum in `public.agentplane_migrations`. A database whose recorded migrations are not
the shipped ones is refused before anything is touched. One that a newer version migrated is refused as well, unless
every newer step says that this version still works with it: `-- works with schema N and newer` as its first line. So an
upgrade migrates while the old daemons run, and they may restart, until all are replaced.
"""

import hashlib
import re
from datetime import UTC, datetime
from importlib import resources
from typing import Final

import msgspec
import psycopg
from psycopg import AsyncConnection, errors

from agentplane.errors import Broken, Transient
from agentplane.store.connection import Row, connect, translated

NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
WORKS_WITH: Final = re.compile(r"-- works with schema (\d+) and newer\n")
TABLES: Final = re.compile(r"^(CREATE|DROP) TABLE (\w+\.\w+)", re.MULTILINE)
_MISSING: Final = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL"
RESTORE: Final = "somebody restored or changed it in part; stop all daemons, and restore a backup of all of it"
LOCK: Final = 4702111234474983746
TABLE: Final = """
    CREATE TABLE IF NOT EXISTS public.agentplane_migrations (
        version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL,
        works_with integer
    )"""
# of a database that an older version made
COLUMN: Final = "ALTER TABLE public.agentplane_migrations ADD COLUMN IF NOT EXISTS works_with integer"
# Whoever waits for a table's lock holds up all who come after, such as appends: so not for long, but often.
LOCK_TIMEOUT: Final = "2s"
LOCK_ATTEMPTS: Final = 60


class Migration(msgspec.Struct, frozen=True):
    """One shipped step."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of its text, hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def works_with(self) -> int:
        """The oldest program, by its schema version, that works on with a database that has this step."""
        found = WORKS_WITH.match(self.sql)
        return int(found[1]) if found else self.version


class Applied(msgspec.Struct, frozen=True):
    """One step that a database has."""

    version: int
    name: str
    checksum: str
    works_with: int


def shipped() -> tuple[Migration, ...]:
    """The migrations of this version, 1..n without a gap. Raises Broken: the package is damaged."""
    found = []
    for entry in resources.files("agentplane.store.migrations").iterdir():
        match = NAME.fullmatch(entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], entry.read_text("utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise Broken("the package's migrations are not numbered 1..n", code="store.migrations")
    return tuple(found)


def latest_version() -> int:
    """The schema version that this code needs."""
    return len(shipped())


async def check_schema(conninfo: str) -> None:
    """Return when the database is what this code needs. Raises Broken (`store.schema`), Transient, Denied."""
    steps = shipped()
    async with await connect(conninfo) as connection:
        with translated():
            applied = await _applied(connection)
            _compare(applied, steps)
            await _require_tables(connection, steps[: len(applied)])
    if len(applied) < len(steps):
        raise Broken(
            f"the database is at schema version {len(applied)}, this program needs {len(steps)}",
            code="store.schema",
            hint="migrate it: agentplane stack up does, and so does the control host's migration unit",
        )


async def migrate(conninfo: str, steps: tuple[Migration, ...] | None = None) -> tuple[str, ...]:
    """Run what is pending, as the owner; the names of what ran. Repeatable, and safe to run twice at once.

    Raises:
        Broken: code `store.schema` (a newer or another schema is there), `store.migration` (one failed; nothing of
            this call remains).
        Transient: `store.locked`: somebody holds a table for minutes. Transient, Denied: as `connect`.
    """
    steps = shipped() if steps is None else steps
    for _ in range(LOCK_ATTEMPTS - 1):
        try:
            return await _migrate_once(conninfo, steps)
        except Transient as exc:
            if exc.code != "store.locked":
                raise
    return await _migrate_once(conninfo, steps)


async def _migrate_once(conninfo: str, steps: tuple[Migration, ...]) -> tuple[str, ...]:
    async with await connect(conninfo) as connection:
        with translated():
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
                applied = await _applied(connection)
                _compare(applied, steps)
                await _require_tables(connection, steps[: len(applied)])
                pending = steps[len(applied) :]
                if pending:
                    await _run_all(connection, pending)
    return tuple(f"{step.version:04d}_{step.name}" for step in pending)


async def _run_all(connection: AsyncConnection[Row], steps: tuple[Migration, ...]) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
    await connection.execute(TABLE)
    await connection.execute(COLUMN)
    await connection.execute("GRANT SELECT ON public.agentplane_migrations TO PUBLIC")
    for step in steps:
        await _run(connection, step)


async def _run(connection: AsyncConnection[Row], step: Migration) -> None:
    try:
        await connection.execute(step.sql.encode())
    except psycopg.OperationalError:
        raise
    except psycopg.Error as exc:
        there = isinstance(exc, errors.DuplicateSchema | errors.DuplicateTable | errors.DuplicateObject)
        raise Broken(
            f"migration {step.version:04d}_{step.name} failed, nothing was changed: {exc.diag.message_primary}",
            code="store.migration",
            hint=f"the database has more than its record of migrations says: {RESTORE}" if there else None,
        ) from exc
    await connection.execute(
        "INSERT INTO public.agentplane_migrations VALUES (%s, %s, %s, %s, %s)",
        [step.version, step.name, step.checksum, datetime.now(UTC), step.works_with],
    )


async def _applied(connection: AsyncConnection[Row]) -> list[Applied]:
    exists = await connection.execute("SELECT to_regclass('public.agentplane_migrations') IS NOT NULL")
    if (await exists.fetchone()) == (False,):
        return []
    # by way of JSON: the column is not there yet in a database that an older version made
    found = await connection.execute(
        "SELECT version, name, checksum, coalesce((to_jsonb(m) ->> 'works_with')::int, version)"
        " FROM public.agentplane_migrations m ORDER BY version"
    )
    return [Applied(int(row[0]), str(row[1]), str(row[2]), int(row[3])) for row in await found.fetchall()]


async def _require_tables(connection: AsyncConnection[Row], steps: tuple[Migration, ...]) -> None:
    """What its record says that it has, a database must have. Raises Broken (`store.schema`)."""
    made = [found for step in steps for found in TABLES.findall(step.sql)]
    dropped = {name for verb, name in made if verb == "DROP"}
    asked = await connection.execute(_MISSING, [[name for _, name in made if name not in dropped]])
    missing = [str(name) for (name,) in await asked.fetchall()]
    if missing:
        raise Broken(
            f"its record says schema version {len(steps)}, and it has no {', '.join(missing)}",
            code="store.schema",
            hint=RESTORE,
        )


def _compare(applied: list[Applied], steps: tuple[Migration, ...]) -> None:
    for there, step in zip(applied, steps, strict=False):
        if there.version != step.version:
            has = f"and has {there.version:04d}_{there.name}"
            said = f"its record of migrations lacks {step.version:04d}_{step.name}, {has}"
            raise Broken(said, code="store.schema", hint=RESTORE)
        if (there.version, there.name, there.checksum) != (step.version, step.name, step.checksum):
            raise Broken(
                f"migration {there.version:04d}_{there.name} ran with another text than this program ships",
                code="store.schema",
                hint="a published migration is never edited; restore the file, and add a new one",
            )
    needed = max((newer.works_with for newer in applied[len(steps) :]), default=0)
    if needed > len(steps):
        raise Broken(
            f"the database is at schema version {len(applied)}, which works with programs of schema {needed} and newer;"
            f" this one knows {len(steps)}",
            code="store.schema",
            hint="a newer version migrated it; upgrade this one",
        )
