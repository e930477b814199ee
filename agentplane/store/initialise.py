"""`agentplane-database --passfiles DIRECTORY`: roles, database and schema on a local PostgreSQL. Repeatable.

Runs as the server's own account (peer authentication over its socket), in agentplane-database.service, before every
start of control and the projector: an upgrade's migrations run here. Passwords come from libpq password files
(`<short role>.pgpass`, 0600) and leave this process as SCRAM verifiers only.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from agentplane.errors import AgentplaneError, Refused
from agentplane.store import migrate, roles

FILES: Final[Mapping[str, str]] = {role: f"{role.removeprefix('agentplane_')}.pgpass" for role in roles.ROLES}


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare the database; the exit status is that of agentplane.errors."""
    parser = argparse.ArgumentParser(prog="agentplane-database")
    parser.add_argument("--passfiles", type=Path, required=True, help="a directory with <role>.pgpass")
    parser.add_argument("--socket", default="/run/postgresql", help="the directory of the server's socket")
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--database", default="agentplane")
    options = parser.parse_args(argv)
    try:
        ran = asyncio.run(prepare(options.passfiles, options.socket, options.port, options.database))
    except AgentplaneError as error:
        print(f"agentplane-database: {error.code}: {error}", file=sys.stderr)  # noqa: T201 - people read stderr
        return error.exit_status
    print(f"agentplane-database: ready, migrated: {', '.join(ran) or 'nothing'}", file=sys.stderr)  # noqa: T201
    return 0


async def prepare(passfiles: Path, socket: str, port: int, database: str) -> tuple[str, ...]:
    """Bring roles, database and schema to what this version needs; the names of the migrations that ran.

    Raises: Refused (`store.password`), and as `roles.bootstrap` and `migrate.migrate`.
    """
    passwords = {role: password_in(passfiles / name, role) for role, name in FILES.items()}
    await roles.bootstrap(f"host={socket} port={port} dbname=postgres", database=database, passwords=passwords)
    owner = f"host=127.0.0.1 port={port} dbname={database} user={roles.OWNER} passfile={passfiles / FILES[roles.OWNER]}"
    return await migrate.migrate(owner)


def password_in(path: Path, role: str) -> str:
    """The password of a role in a libpq password file of one line. Raises Refused (`store.password`)."""
    hint = f"one line: *:*:*:{role}:PASSWORD"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused(f"cannot be read: {exc}", code="store.password", where=str(path), hint=hint) from exc
    parts = lines[0].split(":", 4) if len(lines) == 1 else []
    if len(parts) != 5 or parts[3] != role or "\\" in parts[4]:  # noqa: PLR2004 - host, port, database, user, password
        raise Refused("is not a password file of that role", code="store.password", where=str(path), hint=hint)
    return parts[4]


if __name__ == "__main__":
    sys.exit(main())
