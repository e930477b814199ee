"""The one door for files: path to document, never more than the cap in memory. The only I/O of this package."""

import errno
import os
import stat
import sys
from pathlib import Path

from agentplane.documents import limits
from agentplane.documents.limits import refused
from agentplane.documents.model import Document
from agentplane.documents.parse import parse_document
from agentplane.documents.several import STREAM_BYTES, parse_documents

_REASONS = {
    errno.ENOENT: ("missing", "no such file", "Check the path."),
    errno.ENOTDIR: ("missing", "no such file: a part of the path is not a directory", "Check the path."),
    errno.EACCES: ("unreadable", "permission denied", "Make it readable for this user."),
    errno.EPERM: ("unreadable", "permission denied", "Make it readable for this user."),
    errno.ELOOP: ("unreadable", "too many symbolic links", "Name the file itself."),
    errno.ENAMETOOLONG: ("missing", "the name is too long", "Check the path."),
}


def read_document(path: Path, limit_bytes: int = limits.SIZE_BYTES) -> Document:
    """Read and parse a JSON or YAML document.

    Raises:
        Refused: `document.missing`, `.directory`, `.not-regular`, `.unreadable`, `.too-large`, or any of the parsers'.
    """
    return parse_document(read_bytes(path, limit_bytes), str(path), limit_bytes)


def read_documents(path: Path) -> list[Document]:
    """Read every document of a file; `-` is the standard input.

    Raises:
        Refused: as `read_document`.
    """
    if str(path) == "-":
        return parse_documents(sys.stdin.buffer.read(STREAM_BYTES + 1), "the standard input")
    return parse_documents(read_bytes(path, STREAM_BYTES), str(path))


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """At most `limit_bytes` + 1 bytes of a regular file. Raises Refused."""
    origin = str(path)
    try:
        # O_NONBLOCK: a FIFO in place of the file must not hold us up
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise refused("directory", "is a directory, not a document", origin, hint=_directory_hint(path))
            if not stat.S_ISREG(mode):
                raise refused("not-regular", "is not a regular file", origin, hint="Name a file.")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(limit_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as exc:
        code, words, hint = _REASONS.get(exc.errno or 0, ("unreadable", exc.strerror or "cannot be read", None))
        raise refused(code, words, origin, hint=hint) from exc
    except ValueError as exc:  # a NUL in the path
        raise refused("missing", "no such file: the path holds a NUL character", repr(origin)) from exc


def _directory_hint(path: Path) -> str:
    found = next((name for name in ("bundle.json", "bundle.yaml", "bundle.yml") if (path / name).is_file()), None)
    return f"Did you mean {path / found}?" if found else "Name the file in it."
