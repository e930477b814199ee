"""Who may do what in the database: an owner for migrations, and one login role per kind of process.

| role | for | may |
|---|---|---|
| agentplane_owner | migrations only | owns the schema `log`; the log's triggers refuse changes to it as to all |
| agentplane_append | control | INSERT and SELECT events, move outbox cursors |
| agentplane_project | projector | SELECT events; owns the schema `views` |
| agentplane_read | query service | SELECT events and views of the tenant that its transaction names |

Control and the projector serve all tenants, so row-level security does not bind their roles.

Passwords are hashed to SCRAM verifiers here, so no statement, log or `pg_stat_activity` ever holds one.
"""

from collections.abc import Mapping
from typing import Final

from psycopg import AsyncConnection, sql

from agentplane.errors import Refused
from agentplane.store.connection import Row, connect, translated

OWNER: Final = "agentplane_owner"
APPEND: Final = "agentplane_append"
PROJECT: Final = "agentplane_project"
READ: Final = "agentplane_read"
ROLES: Final = (OWNER, APPEND, PROJECT, READ)

# an appender that hangs inside its transaction would hold the append lock from everybody
SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    OWNER: {"search_path": "log, views"},
    APPEND: {"search_path": "log, views", "idle_in_transaction_session_timeout": "10s", "statement_timeout": "30s"},
    PROJECT: {"search_path": "views, log"},
    READ: {"search_path": "views, log", "default_transaction_read_only": "on", "statement_timeout": "30s"},
}
MIN_PASSWORD: Final = 16
_ALL_TENANTS: Final = frozenset({APPEND, PROJECT})


async def bootstrap(conninfo: str, *, database: str, passwords: Mapping[str, str]) -> None:
    """Create the roles and the database, or bring them to what they should be. Repeatable.

    `conninfo`: a superuser's, to any existing database. `passwords`: one for each of ROLES. Migrate next, as OWNER.

    Raises:
        Refused: code `store.password`: one is missing or shorter than 16 characters.
        Transient, Denied: as `connect`.
    """
    short = [role for role in ROLES if len(passwords.get(role, "")) < MIN_PASSWORD]
    if short:
        raise Refused(f"passwords of at least {MIN_PASSWORD} characters are needed for {short}", code="store.password")
    connection = await connect(conninfo)
    async with connection:
        with translated():
            for role in ROLES:
                await _role(connection, role, passwords[role])
            await connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(PROJECT), sql.Identifier(OWNER)))
            await _database(connection, database)


async def _role(connection: AsyncConnection[Row], role: str, password: str) -> None:
    found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    verb = sql.SQL("CREATE" if await found.fetchone() is None else "ALTER")
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    bypass = sql.SQL("BYPASSRLS" if role in _ALL_TENANTS else "NOBYPASSRLS")
    options = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION {} PASSWORD {}")
    name = sql.Identifier(role)
    await connection.execute(sql.SQL("{} ROLE {} ").format(verb, name) + options.format(bypass, sql.Literal(verifier)))
    for setting, value in SETTINGS[role].items():
        values = sql.SQL(", ").join(sql.Literal(part.strip()) for part in value.split(","))
        await connection.execute(sql.SQL("ALTER ROLE {} SET {} TO {}").format(name, sql.Identifier(setting), values))


async def _database(connection: AsyncConnection[Row], database: str) -> None:
    name = sql.Identifier(database)
    found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
    if await found.fetchone() is None:
        create = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0")
        await connection.execute(create.format(name, sql.Identifier(OWNER)))
    await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    grantees = sql.SQL(", ").join(map(sql.Identifier, (APPEND, PROJECT, READ)))
    await connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, grantees))
