"""Unpacking our own archives as if they were not: files and directories below the target, and nothing else.

`tarfile`'s own extraction filter came with Python 3.11.4; Debian 12 has 3.11.2.
"""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from agentplane.errors import Tampered

_MODES = 0o755  # nobody but the owner writes


def unpack_archive(archive: Path, target: Path) -> None:
    """Extract a tar archive. Raises Tampered (`backup.damaged`): unreadable, or it holds what no backup does."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _extract(tar, member, target / _relative(member.name, archive), archive)
    except (tarfile.TarError, EOFError) as exc:
        raise Tampered(f"cannot be unpacked: {exc}", code="backup.damaged", where=str(archive)) from exc


def _relative(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise Tampered(f"{name!r} would leave the directory", code="backup.damaged", where=str(archive))
    return path


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, archive: Path) -> None:
    if member.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(member.mode & _MODES | 0o700)
        return
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise Tampered(f"{member.name!r} is no file", code="backup.damaged", where=str(archive))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, member.mode & _MODES | 0o600)
    except FileExistsError:
        raise Tampered(f"{member.name!r} is there twice", code="backup.damaged", where=str(archive)) from None
    with content, os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file)
