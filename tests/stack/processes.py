"""What /proc knows of processes."""

from collections.abc import Iterator
from pathlib import Path


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Number and name of a process and of all below it, as far as they live."""
    try:
        yield pid, Path(f"/proc/{pid}/comm").read_text().strip()
        lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return
    for children in lists:
        for child in children:
            yield from descendants(int(child))


def all_processes() -> Iterator[Path]:
    """The /proc directories of all."""
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def words(process: Path, file: str = "cmdline") -> bytes:
    """The command line (or environ) of a process; nothing when it has ended."""
    try:
        return (process / file).read_bytes()
    except OSError:
        return b""


def living_in(directory: Path) -> list[str]:
    """Command lines of processes that name a directory or work in it."""
    found = []
    for process in all_processes():
        try:
            cwd = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(directory).encode() in words(process) or cwd.startswith(str(directory)):
            found.append(f"{process.name} {words(process)!r}")
    return found
