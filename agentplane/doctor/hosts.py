"""A control or an executor host under systemd: its units, what they are given, and whether it works."""

import asyncio
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentplane.backup.series import whole
from agentplane.backup.settings import BackupSettings
from agentplane.bus import monitor
from agentplane.daemon import bus
from agentplane.daemon.config import NatsSettings, PostgresSettings, load_settings
from agentplane.doctor import certificates, services
from agentplane.doctor.check import Check, Role, failed, passed, skipped
from agentplane.doctor.units import Show, Unit, show, unit
from agentplane.errors import AgentplaneError
from agentplane.store.migrate import latest_version

if TYPE_CHECKING:
    from services.executor.config import ExecutorSettings

# what a role cannot do without, in the order in which they depend on each other
UNITS: Final = {
    Role.CONTROL: ("agentplane-control.service", "agentplane-projector.service"),
    Role.EXECUTOR: ("agentplane-guest.socket", "agentplane-executor.service"),
}
_SERVERS: Final = ("agentplane-bus.service", "nats.service")
_DATABASE: Final = "systemctl restart postgresql agentplane-database"
_DATABASE_DIR: Final = Path("/var/lib/postgresql")
_CONFIG_TIMEOUT_S: Final = 30
_BUS_TIMEOUT_S: Final = 10
_BACKUP_AGE: Final = timedelta(days=2)
_OTHERS: Final = 0o077


def host(role: Role, *, now: datetime, ask: Show = show) -> list[Check]:
    """Every check of a host's units, in the order in which they build on each other."""
    units = [unit(name, ask) for name in UNITS[role]]
    checks = [_active(each) for each in units]
    for each in units:
        if each.config is not None:
            checks += [_config(each), *_credentials(each)]
    main = units[0] if role is Role.CONTROL else units[-1]
    if role is Role.EXECUTOR:
        checks += _sandboxes(main, ask)
    return [*checks, *_connections(role, main, now, ask), _backup(role, now, ask)]


def state_dir(role: Role, ask: Show = show) -> Path | None:
    """The directory whose disk a host of this role lives by; None: its unit does not say."""
    if role is Role.CONTROL:
        return _DATABASE_DIR
    settings = _executor(unit(UNITS[role][-1], ask))
    return None if settings is None else settings.state_dir


def _executor(each: Unit) -> "ExecutorSettings | None":
    from services.executor.config import ExecutorSettings  # noqa: PLC0415 - a daemon's model, only where it is

    try:
        return None if each.config is None else load_settings(each.config, ExecutorSettings)
    except AgentplaneError:  # said by its own check
        return None


def _sandboxes(main: Unit, ask: Show) -> list[Check]:
    """Who offers processes needs somebody who starts them."""
    settings = _executor(main)
    if settings is None or settings.guests is None or "process" not in settings.backends:
        return []
    return [_active(unit("agentplane-process.socket", ask))]


def _short(each: Unit) -> str:
    return each.name.removeprefix("agentplane-").removesuffix(".service")


def _active(each: Unit) -> Check:
    id_ = f"unit.{_short(each)}"
    if not each.loaded:
        fix = "scripts/install-debian.sh, or services.agentplane in the NixOS configuration"
        return failed(id_, f"{each.name} is not installed", fix)
    if not each.up:
        return failed(id_, f"{each.active}, {each.result or 'no result'}", f"journalctl -u {each.name} -n 50")
    if not each.enabled:
        return failed(id_, f"{each.active}, but it does not start at boot", f"systemctl enable {each.name}")
    again = f", restarted {each.restarts} times" if each.restarts else ""
    return passed(id_, each.active + again)


def _config(each: Unit) -> Check:
    """What the daemon itself says of its configuration."""
    id_ = f"config.{_short(each)}"
    argv = [*each.argv, "--check-config"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_CONFIG_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return failed(id_, f"{argv[0]} cannot be asked: {exc}", f"systemctl cat {each.name}")
    if done.returncode == 0:
        return passed(id_, str(each.config))
    words = (done.stderr.strip().splitlines() or ["no words"])[0]
    return failed(id_, words, " ".join(argv))


def _credentials(each: Unit) -> list[Check]:
    """Keys and passwords: files outside of the store, there, and nobody else's to read."""
    return [_credential(f"credential.{_short(each)}.{name}", path) for name, path in each.credentials]


def _credential(id_: str, path: Path) -> Check:
    if path.is_relative_to("/nix/store"):
        return failed(id_, f"{path} is in the Nix store, which everybody can read", "name a file outside of the store")
    if not path.is_absolute():
        return skipped(id_, f"{path} comes from the service manager")
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        return failed(id_, f"{path}: {exc.strerror}", f"ls -l {path.parent}")
    if mode & _OTHERS:
        return failed(id_, f"others may read {path}", f"chmod 600 {path}")
    return passed(id_, str(path))


def _connections(role: Role, main: Unit, now: datetime, ask: Show) -> list[Check]:
    """The bus, and for a control host the database, as its daemon reaches them."""
    if main.config is None or not main.up:
        return [skipped("bus.reachable", f"{main.name} does not run")]
    try:
        if role is Role.CONTROL:
            from services.control.config import ControlSettings  # noqa: PLC0415 - a daemon's model, only where it is

            control = load_settings(main.config, ControlSettings)
            return [*_database(control.postgres), *_bus(control.nats, now), *_stores(ask)]
        from services.executor.config import ExecutorSettings  # noqa: PLC0415

        return _bus(load_settings(main.config, ExecutorSettings).nats, now)
    except AgentplaneError as exc:
        return [skipped("bus.reachable", exc.message)]


def _database(settings: PostgresSettings) -> list[Check]:
    return services.postgres(settings.full_conninfo(), latest_version(), fix=_DATABASE)


def _bus(settings: NatsSettings, now: datetime) -> list[Check]:
    return [_reachable(settings), *certificates.of_bus(settings.servers, settings.encryption, now)]


def _stores(ask: Show) -> list[Check]:
    """Of a nats-server on this host; nothing where it is elsewhere."""
    name = next((name for name in _SERVERS if unit(name, ask).up), None)
    if name is None:
        return []
    if not monitor.answers(monitor.HOST_URL):
        return [skipped("nats.writes", f"nothing answers at {monitor.HOST_URL}: its monitoring is off")]
    return [services.writes(monitor.HOST_URL, f"systemctl restart {name}")]


def _reachable(settings: NatsSettings) -> Check:
    where = ", ".join(settings.servers)
    try:
        asyncio.run(_connect(settings))
    except TimeoutError:
        return failed("bus.reachable", f"{where}: no answer within {_BUS_TIMEOUT_S} s", f"ping {_host_of(settings)}")
    except AgentplaneError as exc:
        return failed(
            "bus.reachable", f"{where}: {exc.message}", exc.hint or "journalctl -u agentplane-bus -u nats -n 50"
        )
    return passed("bus.reachable", f"{where}, {'encrypted' if settings.tls else 'in the clear'}")


async def _connect(settings: NatsSettings) -> None:
    async with asyncio.timeout(_BUS_TIMEOUT_S):
        connection = await bus.connect(settings, "doctor")
        await connection.close()


def _host_of(settings: NatsSettings) -> str:
    return settings.servers[0].rsplit("/", maxsplit=1)[-1].rsplit(":", maxsplit=1)[0]


def _backup(role: Role, now: datetime, ask: Show) -> Check:
    """A host that is never backed up is found out too late."""
    name = f"agentplane-backup-{role.value}"
    if not unit(f"{name}.timer", ask).up:
        return failed("backup.timer", f"{name}.timer is off", f"systemctl enable --now {name}.timer", required=False)
    config = unit(f"{name}.service", ask).config
    try:
        if config is None:
            return skipped("backup.recent", f"{name}.service names no configuration")
        settings = load_settings(config, BackupSettings)
        taken = _newest(whole(settings.directory)) if settings.directory.is_dir() else None
    except (AgentplaneError, OSError) as exc:
        return failed("backup.recent", str(exc), f"journalctl -u {name} -n 50", required=False)
    if taken is None or now - taken > _BACKUP_AGE:
        words = "no backup was ever taken" if taken is None else f"the newest is of {taken.isoformat()}"
        return failed("backup.recent", words, f"systemctl start {name}", required=False)
    return passed("backup.recent", f"the newest is of {taken.isoformat()}")


def _newest(backups: Sequence[Path]) -> datetime | None:
    return datetime.fromtimestamp(backups[-1].stat().st_mtime, UTC) if backups else None
