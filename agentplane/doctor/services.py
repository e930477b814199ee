"""PostgreSQL and NATS as a control host needs them: reachable, durable, guarded."""

import json
import urllib.request
from pathlib import Path
from urllib.error import URLError

import psycopg

from agentplane.bus.monitor import write_error
from agentplane.doctor.check import Check, failed, passed, skipped

MIN_POSTGRES = 14
UP = "agentplane stack up"


def postgres(conninfo: str | None, latest_schema: int, *, fix: str = UP) -> list[Check]:
    """What the database says of itself. `conninfo` None: no configuration here names one. `fix`: what starts it."""
    names = ("reachable", "version", "fsync", "schema")
    if conninfo is None:
        return [skipped(f"postgres.{name}", "no stack and no control configuration on this machine") for name in names]
    try:
        with psycopg.connect(conninfo, connect_timeout=5, autocommit=True) as connection:
            return [
                passed("postgres.reachable", "answered"),
                *_settings(connection),
                _schema(connection, latest_schema, fix),
            ]
    except psycopg.OperationalError as exc:
        first = failed("postgres.reachable", str(exc).strip().splitlines()[0], fix)
        return [first, *(skipped(f"postgres.{name}", "not reachable") for name in names[1:])]


def _settings(connection: psycopg.Connection) -> list[Check]:
    version = connection.info.server_version // 10_000
    checks = [passed("postgres.version", f"PostgreSQL {version}")]
    if version < MIN_POSTGRES:
        checks = [
            failed(
                "postgres.version", f"PostgreSQL {version}; {MIN_POSTGRES} is needed", "apt-get install -y postgresql"
            )
        ]
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        value = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone()
        if value and value[0] == "on":
            continue
        fix = f"psql -c \"ALTER SYSTEM SET {setting} = on\" -c 'SELECT pg_reload_conf()'"
        return [*checks, failed("postgres.fsync", f"{setting} is {value and value[0]}: a crash loses data", fix)]
    return [*checks, passed("postgres.fsync", "fsync, synchronous_commit and full_page_writes are on")]


def _schema(connection: psycopg.Connection, latest: int, fix: str) -> Check:
    try:
        row = connection.execute("SELECT max(version) FROM public.agentplane_migrations").fetchone()
    except psycopg.Error as exc:
        return failed("postgres.schema", str(exc).strip().splitlines()[0], fix)
    current = row[0] if row else None
    if current == latest:
        return passed("postgres.schema", f"version {current}, the newest")
    return failed("postgres.schema", f"version {current}; this program knows {latest}", fix)


def nats(monitor_url: str | None, *, restart: str = UP) -> list[Check]:
    """What nats-server's monitoring endpoint (loopback) says. None: no configuration here names one."""
    names = ("reachable", "writes", "jetstream", "auth", "sync")
    if monitor_url is None:
        return [skipped(f"nats.{name}", "no stack and no control configuration on this machine") for name in names]
    try:
        with urllib.request.urlopen(f"{monitor_url}/varz", timeout=5) as answer:  # noqa: S310 - loopback, our own
            varz = json.load(answer)
    except (URLError, OSError, ValueError) as exc:
        first = failed("nats.reachable", f"{monitor_url}: {exc}", UP)
        return [first, *(skipped(f"nats.{name}", "not reachable") for name in names[1:])]
    return [passed("nats.reachable", f"nats-server {varz.get('version')}"), writes(monitor_url, restart), *_varz(varz)]


def writes(monitor_url: str, restart: str) -> Check:
    """Whether nats-server stores what it is given: a full disk is not over when there is room again."""
    words = write_error(monitor_url)
    if words is None:
        return passed("nats.writes", "nothing failed to be written")
    return failed("nats.writes", f"it stores nothing until its disk has room and it was restarted: {words}", restart)


def _varz(varz: dict[str, object]) -> list[Check]:
    jetstream = varz.get("jetstream")
    config = jetstream.get("config") if isinstance(jetstream, dict) else None
    if not isinstance(config, dict):
        return [failed("nats.jetstream", "JetStream is off", UP), skipped("nats.auth", ""), skipped("nats.sync", "")]
    checks = [passed("nats.jetstream", f"stores in {config.get('store_dir')}")]
    if varz.get("auth_required"):
        checks.append(passed("nats.auth", "every client must authenticate"))
    else:
        checks.append(failed("nats.auth", "anybody may connect", "name users in nats-server.conf, then reload it"))
    if config.get("sync_always"):
        return [*checks, passed("nats.sync", "sync_interval is always")]
    fix = "set `sync_interval: always` in the jetstream block of nats-server.conf"
    return [*checks, failed("nats.sync", "acknowledged messages may be lost at a power failure", fix)]


def keys(directory: Path) -> list[Check]:
    """Private keys and password files: there, ours, and nobody else's to read."""
    if not directory.exists():
        return [skipped("keys.permissions", f"no state directory at {directory}")]
    private = [path for pattern in PRIVATE for path in directory.glob(pattern)]
    if not private:
        return [failed("keys.exist", f"no keys below {directory}", UP, required=False)]
    loose = [path for path in private if path.stat().st_mode & 0o077]
    checks = [passed("keys.exist", f"{len(private)} private files")]
    if loose:
        names = " ".join(map(str, loose))
        return [*checks, failed("keys.permissions", f"others may read {names}", f"chmod 600 {names}")]
    return [*checks, passed("keys.permissions", "only their owner may read them")]


PRIVATE = ("keys/*.key", "nkeys/*", "passfiles/*", "secrets/*")
