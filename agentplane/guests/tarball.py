"""The tar that a guest hands out, read as hostile: what it may contain, checked before anything is written. Pure.

Only regular files and directories in plain ustar or GNU form (POSIX.1-1988; GNU `L` for long names), which is what
the guest's busybox writes. Owners, modes and times are the guest's claims and are ignored. Everything else - links,
devices, sparse files, pax records, base-256 numbers, hidden trailing data - is refused, never skipped: an archive
that two programs could read in two ways has no place in evidence.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from agentplane.errors import Refused

BLOCK: Final = 512
_ZERO: Final = bytes(BLOCK)
_OCTAL: Final = re.compile(rb" *([0-7]+)[ \0]*")
# C0, DEL, C1, line and paragraph separators, and the marks that make text read in another order than its bytes.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_KINDS: Final = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a fifo"}
_MAX_SEGMENT_BYTES: Final = 255


class TarLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a guest may hand out."""

    entries: int = 10_000
    file_bytes: int = 64 << 20
    total_bytes: int = 128 << 20
    path_bytes: int = 1024
    depth: int = 32


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file or directory to write. `path` is relative, normalised and free of surprises."""

    path: str
    directory: bool
    offset: int  # of its bytes in the archive
    size_bytes: int


def scan(archive: BinaryIO, limits: TarLimits) -> tuple[Entry, ...]:
    """All entries of a seekable archive, in order.

    Raises:
        Refused: code `artifacts.tar`; nothing of the archive should be used.
    """
    seen: dict[str, bool] = {}
    entries: list[Entry] = []
    total = 0
    for entry in _entries(archive, limits):
        if len(entries) >= limits.entries:
            raise _refuse(f"more than {limits.entries} entries")
        _check_place(entry, seen)
        total += entry.size_bytes
        if total > limits.total_bytes:
            raise _refuse(f"more than {limits.total_bytes} bytes in all")
        seen[entry.path] = entry.directory
        entries.append(entry)
    return tuple(entries)


def _entries(archive: BinaryIO, limits: TarLimits) -> Iterator[Entry]:
    long_name: bytes | None = None
    end = archive.seek(0, 2)
    archive.seek(0)
    while (header := _block(archive)) != _ZERO:
        size = _number(header, 124, 12)
        offset = archive.tell()
        _check_header(header)
        if offset + size > end:
            raise _refuse("it ends in the middle of a file")
        kind = header[156:157]
        if kind == b"L":
            long_name = _long_name(archive, size, already=long_name is not None, limits=limits)
            continue
        entry = _entry(header, long_name, offset, size, limits)
        long_name = None
        if entry is not None:
            yield entry
        archive.seek(offset + -(-size // BLOCK) * BLOCK)
    _check_end(archive, dangling=long_name is not None)


def _block(archive: BinaryIO) -> bytes:
    block = archive.read(BLOCK)
    if len(block) != BLOCK:
        raise _refuse("it ends without its end mark")
    return block


def _check_header(header: bytes) -> None:
    if header[257:265] not in {b"ustar  \0", b"ustar\x0000"}:
        raise _refuse("a header is neither ustar nor GNU")
    if _number(header, 148, 8) != sum(header[:148]) + 8 * 0x20 + sum(header[156:]):
        raise _refuse("a header's checksum is wrong")


def _number(header: bytes, start: int, length: int) -> int:
    match = _OCTAL.fullmatch(header, start, start + length)
    if match is None:
        raise _refuse("a header holds a number that is not octal")
    return int(match[1], 8)


def _long_name(archive: BinaryIO, size: int, *, already: bool, limits: TarLimits) -> bytes:
    if already or not 0 < size <= limits.path_bytes + 1:
        raise _refuse("a long name is repeated, empty or too long")
    data = archive.read(-(-size // BLOCK) * BLOCK)
    if len(data) < size:
        raise _refuse("it ends in the middle of a name")
    return data[:size]


def _entry(header: bytes, long_name: bytes | None, offset: int, size: int, limits: TarLimits) -> Entry | None:
    raw = long_name if long_name is not None else _short_name(header)
    raw = raw.split(b"\0", 1)[0]
    kind = header[156:157]
    directory = kind == b"5"
    if kind not in {b"0", b"\0", b"5"}:
        raise _refuse(f"{_shown(raw)} is {_KINDS.get(kind, f'of type {kind!r}')}")
    path = _path(raw, limits)
    if directory and size:
        raise _refuse(f"the directory {path!r} has contents of its own")
    if not directory and (path == "." or raw.endswith(b"/")):
        raise _refuse(f"the file {path!r} is named like a directory")
    if size > limits.file_bytes:
        raise _refuse(f"{path!r} has {size} bytes, more than the {limits.file_bytes} of one file")
    return None if path == "." else Entry(path=path, directory=directory, offset=offset, size_bytes=size)


def _short_name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _path(raw: bytes, limits: TarLimits) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _refuse(f"the name {_shown(raw)} is not UTF-8") from exc
    if len(raw) > limits.path_bytes:
        raise _refuse(f"the name {_shown(raw)} is longer than {limits.path_bytes} bytes")
    if not raw or text.startswith("/") or _UNPRINTABLE.search(text):
        raise _refuse(f"the name {_shown(raw)} is empty, absolute or unprintable")
    relative = text.removeprefix("./").removesuffix("/") or "."
    return relative if relative == "." else _check_segments(relative, limits)


def _check_segments(path: str, limits: TarLimits) -> str:
    segments = path.split("/")
    if any(segment in {"", ".", ".."} or len(segment.encode()) > _MAX_SEGMENT_BYTES for segment in segments):
        raise _refuse(f"the name {_shown(path.encode())} leads elsewhere")
    if len(segments) > limits.depth:
        raise _refuse(f"the name {_shown(path.encode())} is deeper than {limits.depth} directories")
    return path


def _check_place(entry: Entry, seen: dict[str, bool]) -> None:
    if entry.path in seen:
        raise _refuse(f"{_shown(entry.path.encode())} is there twice")
    parent = entry.path.rpartition("/")[0]
    while parent:
        if not seen.setdefault(parent, True):
            raise _refuse(f"{_shown(parent.encode())} is a file and a directory")
        parent = parent.rpartition("/")[0]


def _check_end(archive: BinaryIO, *, dangling: bool) -> None:
    if dangling:
        raise _refuse("a long name belongs to nothing")
    if _block(archive) != _ZERO:
        raise _refuse("its end mark is half")
    while rest := archive.read(1 << 16):
        if rest.count(0) != len(rest):
            raise _refuse("something is hidden behind its end")


def _shown(raw: bytes) -> str:
    text = ascii(raw.decode("utf-8", "backslashreplace"))
    return text if len(text) <= 120 else text[:117] + "…'"  # noqa: PLR2004 - one line of a terminal


def _refuse(reason: str) -> Refused:
    return Refused(
        f"the guest's artifacts are refused: {reason}",
        code="artifacts.tar",
        hint="a workload may leave regular files and directories in $AGENTPLANE_ARTIFACTS, within the limits",
    )
