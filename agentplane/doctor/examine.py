"""Which checks belong to which role, and what they need to know of this machine."""

from datetime import UTC, datetime
from pathlib import Path

from agentplane.doctor import acceleration, hosts, kernel, nix, services, tools, units
from agentplane.doctor.check import Check, Role
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports
from agentplane.stack.provision import conninfo
from agentplane.store import roles
from agentplane.store.migrate import latest_version


def examine(role: Role, state_dir: Path) -> list[Check]:
    """Every check of a role, in the order in which they build on each other."""
    managed = role is not Role.DEVELOPER and units.running()
    directory = (hosts.state_dir(role) if managed else None) or state_dir
    checks = [*tools.python(), *tools.clock(), *tools.memory(), *tools.disk(directory)]
    if role in {Role.DEVELOPER, Role.EXECUTOR}:
        checks += [
            *tools.programs(),
            *tools.cgroups(),
            *kernel.kernel(),
            *nix.nix(),
            *acceleration.acceleration(state_dir),
        ]
    if managed:
        return [*checks, *hosts.host(role, now=datetime.now(UTC))]
    if role in {Role.DEVELOPER, Role.CONTROL}:
        checks += [*tools.servers(), *_services(Layout(state_dir))]
    return [*checks, *services.keys(state_dir)]


def _services(layout: Layout) -> list[Check]:
    ports = load_ports(layout.ports)
    if ports is None or not layout.context.exists():
        return [*services.postgres(None, latest_version()), *services.nats(None)]
    reader = conninfo(layout, ports["postgres"], roles.READ)
    monitor = f"http://127.0.0.1:{ports['monitor']}"
    return [*services.postgres(reader, latest_version()), *services.nats(monitor), *tools.ports(layout)]
