"""What systemd says of our units. The only place of the doctor that asks it."""

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

_PROPERTIES: Final = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,ExecStart,User"
_TIMEOUT_S: Final = 20
# an ExecStart is shown in braces: path, argv[] with its words, ignore_errors, times
_ARGV: Final = re.compile(r"argv\[\]=(.*?) ;")
_CONFIG: Final = re.compile(r"--config (\S+)")

Show = Callable[[str], Mapping[str, str]]


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One unit as the manager has it."""

    name: str
    loaded: bool
    active: str  # "active (running)"
    result: str  # "success", "oom-kill", "watchdog", "exit-code", …
    restarts: int
    enabled: bool
    argv: tuple[str, ...]
    credentials: tuple[tuple[str, Path], ...]  # name and the file it comes from

    @property
    def up(self) -> bool:
        """Running, listening, waiting for its time, or done with its one task."""
        return self.active.startswith("active")

    @property
    def config(self) -> Path | None:
        """The configuration file that it is started with."""
        found = _CONFIG.search(" ".join(self.argv))
        return Path(found[1]) if found else None


def running() -> bool:
    """Whether systemd manages this machine."""
    return Path("/run/systemd/system").is_dir()


def show(name: str) -> Mapping[str, str]:
    """`systemctl show` of a unit, and LoadCredential from its files; empty when the manager does not answer."""
    found: dict[str, str] = {}
    for line in _systemctl("show", name, f"--property={_PROPERTIES}"):
        key, separator, value = line.partition("=")
        if separator:  # a property that is a list comes once per entry
            found[key] = f"{found[key]} {value}" if key in found else value
    return found | {"LoadCredential": credentials_in(_systemctl("cat", name))}


def credentials_in(lines: Iterable[str]) -> str:
    """What a unit's file and drop-ins load, in one line: `systemctl show` has only `[unprintable]` for it (252)."""
    given: list[str] = []
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "LoadCredential":
            given = [*given, value.strip()] if value.strip() else []  # an empty one drops those before
    return " ".join(given)


def _systemctl(*words: str) -> list[str]:
    try:
        argv = ["systemctl", *words, "--no-pager"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()


def unit(name: str, ask: Show = show) -> Unit:
    """A unit as systemd has it; not loaded when there is none of that name."""
    said = ask(name)
    words = _ARGV.search(said.get("ExecStart", ""))
    pairs = (entry.partition(":") for entry in said.get("LoadCredential", "").split())
    return Unit(
        name=name,
        loaded=said.get("LoadState") == "loaded",
        active=f"{said.get('ActiveState', 'unknown')} ({said.get('SubState', 'unknown')})",
        result=said.get("Result", ""),
        restarts=int(said.get("NRestarts") or 0),
        enabled=said.get("UnitFileState", "") in {"enabled", "static", "linked", "alias", "generated", "indirect"},
        argv=tuple(words[1].split()) if words else (),
        credentials=tuple((name, Path(path)) for name, _, path in pairs if path),
    )
