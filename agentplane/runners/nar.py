"""The NAR hash of a tree, without calling Nix: what `nix-store --query --hash` prints for a store path.

Format: E. Dolstra, The Purely Functional Software Deployment Model (2006), figure 5.2; base 32 as in section 5.1.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final, Protocol

from agentplane.errors import Refused

_ALPHABET: Final = "0123456789abcdfghijklmnpqrsvwxyz"  # without e, o, u, t
_CHUNK_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 200


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


def nar_hash(path: Path) -> str:
    """`sha256:<base 32>` of a file, link or directory tree.

    Raises:
        Refused: code `tree.type`, something else is in it (a socket, a device); `tree.changed`, a file changed
            meanwhile; `tree.depth`, more than 200 directories in each other.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    _string(digest, b"nix-archive-1")
    _node(digest, os.fsencode(path))
    return f"sha256:{base32(digest.digest())}"


def base32(data: bytes) -> str:
    """Nix's own base 32: least significant digit last, no padding."""
    number = int.from_bytes(data, "little")
    length = (len(data) * 8 - 1) // 5 + 1
    return "".join(_ALPHABET[number >> 5 * index & 31] for index in reversed(range(length)))


def _node(digest: _Hash, path: bytes, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise Refused(f"it is deeper than {_MAX_DEPTH} directories", code="tree.depth", where=os.fsdecode(path))
    info = os.lstat(path)
    _strings(digest, b"(", b"type")
    if stat.S_ISREG(info.st_mode):
        _file(digest, path, info)
    elif stat.S_ISDIR(info.st_mode):
        _strings(digest, b"directory")
        for name in sorted(os.listdir(path)):  # noqa: PTH208 - names as bytes
            _strings(digest, b"entry", b"(", b"name", name, b"node")
            _node(digest, path + b"/" + name, depth + 1)
            _strings(digest, b")")
    elif stat.S_ISLNK(info.st_mode):
        _strings(digest, b"symlink", b"target", os.readlink(path))  # noqa: PTH115 - bytes
    else:
        raise Refused("it is neither file, directory nor link", code="tree.type", where=os.fsdecode(path))
    _strings(digest, b")")


def _file(digest: _Hash, path: bytes, info: os.stat_result) -> None:
    _strings(digest, b"regular")
    if info.st_mode & stat.S_IXUSR:
        _strings(digest, b"executable", b"")
    _strings(digest, b"contents")
    digest.update(info.st_size.to_bytes(8, "little"))
    size = 0
    with open(path, "rb") as source:  # noqa: PTH123 - bytes
        while chunk := source.read(_CHUNK_BYTES):
            size += len(chunk)
            digest.update(chunk)
    if size != info.st_size:
        raise Refused("it changed while it was read", code="tree.changed", where=os.fsdecode(path))
    digest.update(bytes(-size % 8))


def _strings(digest: _Hash, *values: bytes) -> None:
    for value in values:
        _string(digest, value)


def _string(digest: _Hash, value: bytes) -> None:
    digest.update(len(value).to_bytes(8, "little") + value + bytes(-len(value) % 8))
