"""What goes into a support bundle. Each part is asked for by itself: one that fails says so in its place."""

import asyncio
import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from typing import Any, Final

import msgspec
import psycopg

from agentplane import __version__
from agentplane.doctor.check import Role, healthy
from agentplane.doctor.examine import examine
from agentplane.errors import AgentplaneError, Refused
from agentplane.projections.status import Status
from agentplane.stack import supervision
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports
from agentplane.stack.postgres import binaries
from agentplane.stack.provision import conninfo
from agentplane.store import roles
from agentplane.store.connection import connect, translated
from agentplane.store.view_status import read_status

LOG_TAIL_BYTES: Final = 512 * 1024  # of each log file
_STATS: Final = """
    SELECT phase, type, count(*), min(sequence), max(sequence), min(recorded_at)::text, max(recorded_at)::text
    FROM log.events GROUP BY phase, type ORDER BY phase, type"""
_PROGRAMS: Final[dict[str, tuple[str, ...]]] = {
    "qemu": ("qemu-system-x86_64", "--version"),
    "nix": ("nix-build", "--version"),
    "bubblewrap": ("bwrap", "--version"),
    "systemd": ("systemctl", "--version"),
}


def parts(layout: Layout) -> dict[str, Callable[[], Any]]:
    """The JSON parts by file name."""
    return {
        "versions.json": _versions,
        "doctor.json": lambda: _doctor(layout),
        "stack-status.json": lambda: msgspec.to_builtins(supervision.processes(layout)),
        "projections.json": lambda: msgspec.to_builtins(asyncio.run(_projections(layout))),
        "events.json": lambda: _events(layout),
    }


def ask(part: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
    """A part, or why there is none."""
    try:
        return part()
    except AgentplaneError as error:
        return {"error": error.to_json()}
    except Exception as exc:  # noqa: BLE001 - whatever is broken here, the rest is wanted all the more
        return {"error": {"code": type(exc).__name__, "message": str(exc), "where": None, "hint": None}}


def configurations(layout: Layout) -> Iterator[tuple[str, Any]]:
    """Rendered configuration as JSON, by file name; one that is damaged as the text that it is."""
    for path in (layout.context, layout.ports, *sorted(layout.config.glob("*.json"))):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            try:
                yield f"config/{path.name}", json.loads(text)
            except ValueError:
                yield f"config/{path.name}", {"unreadable": text}


def logs(layout: Layout, lines: int) -> Iterator[tuple[str, str]]:
    """The last lines of every process, by file name."""
    for path in sorted(layout.logs.glob("*.log")):
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        yield f"log/{path.name}", "\n".join(text.splitlines()[-lines:]) + "\n"


def _versions() -> dict[str, Any]:
    packages = sorted(metadata.requires("agentplane") or ())
    names = {requirement.split(";")[0].split("[")[0].split(">")[0].strip() for requirement in packages}
    postgres = ask(lambda: _first_line((str(binaries() / "postgres"), "--version")))
    return {
        "agentplane": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "postgres": postgres,
        "programs": {name: ask(partial(_first_line, argv)) for name, argv in _PROGRAMS.items()},
        "packages": {name: _installed(name) for name in sorted(names)},
    }


def _first_line(argv: tuple[str, ...]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    return (done.stdout.strip().splitlines() or [""])[0]


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _doctor(layout: Layout) -> dict[str, Any]:
    checks = examine(Role.DEVELOPER, layout.root)
    return {"healthy": healthy(checks), "checks": msgspec.to_builtins(checks)}


def _reader(layout: Layout) -> str:
    ports = load_ports(layout.ports)
    if ports is None:
        raise Refused(f"there is no stack in {layout.root}", code="support.no-stack")
    return conninfo(layout, ports["postgres"], roles.PROJECT)  # counts the events of all tenants


async def _projections(layout: Layout) -> tuple[Status, ...]:
    async with await connect(_reader(layout)) as connection:
        with translated():
            return await read_status(connection)


def _events(layout: Layout) -> dict[str, Any]:
    with translated(), psycopg.connect(_reader(layout)) as connection:
        rows = connection.execute(_STATS).fetchall()
    names = ("phase", "type", "count", "first_sequence", "last_sequence", "first_at", "last_at")
    return {"events": sum(row[2] for row in rows), "types": [dict(zip(names, row, strict=True)) for row in rows]}
