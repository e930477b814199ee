"""Secret references to bytes: `secrets://user` and `TOKEN` is the file `user/TOKEN` of a host's secrets directory.

An executor resolves a run's secrets here just before its guest starts and hands them over in memory. This module never
logs, stores or prints a secret's value; errors name the reference only.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agentplane.errors import Broken, Denied, NotFound, Refused

MAX_SECRET_BYTES: Final = 64 * 1024
MAX_LISTED: Final = 1000

_ROOT: Final = re.compile(r"secrets?://(?P<path>[A-Za-z0-9._/-]*)")
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def parse_reference(ref_root: str | None, name: str) -> tuple[str, ...]:
    """The path of a secret below the secrets directory, part by part. Pure.

    Raises:
        Refused: `secret.reference`: the root is not `secrets://…`, or a part could leave the directory.
    """
    match = _ROOT.fullmatch(ref_root or "secrets://")
    if match is None:
        raise Refused(f"secretRefRoot {ref_root!r} is not of the form secrets://group", code="secret.reference")
    parts = (*(part for part in match["path"].split("/") if part), name)
    for part in parts:
        if not _PART.fullmatch(part):
            raise Refused(f"secret reference part {part!r} is not a plain name", code="secret.reference")
    return parts


def resolve(secrets_dir: Path | None, ref_root: str | None, names: tuple[str, ...]) -> dict[str, bytes]:
    """The values of the named secrets.

    Raises:
        Refused: `secret.reference`, or `secret.too-large` (more than 64 KiB).
        NotFound: `secret.missing`.
        Denied: `secret.permissions`: others than its owner may read the file, or it is owned by somebody else.
        Broken: `secret.unreadable`.
    """
    return {name: _read(secrets_dir, parse_reference(ref_root, name)) for name in names}


def available(secrets_dir: Path | None) -> tuple[str, ...]:
    """The names of the secrets that `resolve` can deliver, sorted; those with loose permissions are left out."""
    if secrets_dir is None or not secrets_dir.is_dir():
        return ()
    names = {path.name for path in _candidates(secrets_dir) if _deliverable(path)}
    return tuple(sorted(names)[:MAX_LISTED])


def _candidates(secrets_dir: Path) -> Iterator[Path]:
    for directory, _, files in os.walk(secrets_dir):
        yield from (Path(directory) / file for file in files if _PART.fullmatch(file))


def _deliverable(path: Path) -> bool:
    try:
        return _fault(path.lstat()) is None
    except OSError:
        return False


def _read(secrets_dir: Path | None, parts: tuple[str, ...]) -> bytes:
    label = "secrets://" + "/".join(parts)
    if secrets_dir is None:
        raise NotFound(f"{label}: this executor has no secrets directory", code="secret.missing", hint=_HINT)
    try:
        with _opened(secrets_dir, parts) as descriptor:
            return _read_checked(descriptor, label)
    except FileNotFoundError as exc:
        raise NotFound(f"{label}: no such secret on this executor", code="secret.missing", hint=_HINT) from exc
    except OSError as exc:
        raise Broken(f"{label}: cannot be read: {exc.strerror}", code="secret.unreadable", hint=_HINT) from exc


_HINT: Final = "put the file below the executor's secretsDir, mode 0600, owned by the executor's user"


@contextmanager
def _opened(secrets_dir: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """Open part by part without following links, so that none leads out of the directory."""
    opened = [os.open(secrets_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            opened.append(os.open(part, flags, dir_fd=opened[-1]))
        # Non-blocking: a FIFO in a file's place must not hang the daemon.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        opened.append(os.open(parts[-1], flags, dir_fd=opened[-1]))
        yield opened[-1]
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _fault(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_mode & 0o077:
        return f"may be read by others (mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to user {status.st_uid}"
    return None


def _read_checked(descriptor: int, label: str) -> bytes:
    status = os.fstat(descriptor)
    if fault := _fault(status):
        raise Denied(f"{label} {fault}", code="secret.permissions", hint=_HINT)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        value = file.read(MAX_SECRET_BYTES + 1)
    if len(value) > MAX_SECRET_BYTES:
        raise Refused(f"{label} is larger than {MAX_SECRET_BYTES} bytes", code="secret.too-large")
    return value
