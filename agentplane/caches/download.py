"""One archive from a cache to a file: uncompressed within bounds, hashed on the way, kept only if it is as signed.

A cache may send anything: too much, too little, a bomb. Nothing beyond the signed size is ever written.
"""

import bz2
import hashlib
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from agentplane.caches.narinfo import NarInfo
from agentplane.errors import Refused, Tampered, Transient
from agentplane.runners.nar import base32

COMPRESSIONS: Final = ("xz", "bzip2", "none")
_CHUNK_BYTES: Final = 1 << 20
_XZ_MEMORY_BYTES: Final = 256 << 20
_SLACK_BYTES: Final = 64 << 10
_HINT: Final = "the cache does not hold what was signed: trust it no further, and push the path again"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


_MAKERS: Final[dict[str, Callable[[], _Decompressor]]] = {
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES),
    "bzip2": bz2.BZ2Decompressor,
}


def save_nar(chunks: Iterator[bytes], info: NarInfo, target: Path, where: str) -> None:
    """Write an archive to `target`, uncompressed; `where` names the cache in errors. On an error nothing is kept.

    Raises:
        Tampered: `cache.nar-hash`, `cache.truncated`, `cache.oversized`, `cache.corrupt` (it cannot be uncompressed).
        Refused: `cache.compression`: compressed in a way that is not read here.
        Transient: `cache.staging`: our own disk refuses; and what reading raises.
    """
    if info.compression not in COMPRESSIONS:
        raise Refused(
            f"{info.store_path} is compressed with {info.compression[:20]!a}",
            code="cache.compression",
            where=where,
            hint=f"push it again; {', '.join(COMPRESSIONS)} are read",
        )
    try:
        _write(plain(_bounded(chunks, info, where), info.compression), info, target, where)
    except (lzma.LZMAError, ValueError, EOFError) as exc:
        raise _corrupt(info, where) from exc
    except OSError as exc:  # those of the cache are Transient already; bz2 raises plain ones for corrupt data
        if exc.errno is None:
            raise _corrupt(info, where) from exc
        raise Transient(
            f"the download cannot be kept: {exc.strerror}",
            code="cache.staging",
            where=str(target),
            delay_s=5.0,
            hint="make room there",
        ) from exc


def plain(chunks: Iterator[bytes], compression: str) -> Iterator[bytes]:
    """Uncompress, never more than a megabyte at once. Raises LZMAError, OSError, EOFError, ValueError."""
    if compression == "none":
        yield from chunks
        return
    make = _MAKERS[compression]
    decompressor = make()
    for chunk in chunks:
        data = chunk
        while data or not (decompressor.needs_input or decompressor.eof):
            if decompressor.eof:  # streams may follow each other
                decompressor = make()
            yield decompressor.decompress(data, _CHUNK_BYTES)
            data = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise EOFError


def _bounded(chunks: Iterator[bytes], info: NarInfo, where: str) -> Iterator[bytes]:
    limit, size = info.nar_size + (info.nar_size >> 3) + _SLACK_BYTES, 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise _oversized(info, where, limit)
        yield chunk


def _write(chunks: Iterator[bytes], info: NarInfo, target: Path, where: str) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("xb") as file:
            try:
                for chunk in chunks:
                    size += len(chunk)
                    if size > info.nar_size:
                        raise _oversized(info, where, info.nar_size)
                    digest.update(chunk)
                    file.write(chunk)
            except EOFError:
                raise _truncated(info, where, size) from None
        _check(info, where, size, f"sha256:{base32(digest.digest())}")
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _check(info: NarInfo, where: str, size: int, found: str) -> None:
    if size < info.nar_size:
        raise _truncated(info, where, size)
    if found != info.nar_hash:
        raise Tampered(
            f"its archive of {info.store_path} hashes to {found}, signed was {info.nar_hash}",
            code="cache.nar-hash",
            where=where,
            hint=_HINT,
        )


def _oversized(info: NarInfo, where: str, limit: int) -> Tampered:
    return Tampered(
        f"its archive of {info.store_path} goes on beyond {limit} bytes",
        code="cache.oversized",
        where=where,
        hint=_HINT,
    )


def _truncated(info: NarInfo, where: str, size: int) -> Tampered:
    return Tampered(
        f"its archive of {info.store_path} ends after {size} bytes, signed were {info.nar_size}",
        code="cache.truncated",
        where=where,
        hint=_HINT,
    )


def _corrupt(info: NarInfo, where: str) -> Tampered:
    return Tampered(
        f"its archive of {info.store_path} cannot be uncompressed", code="cache.corrupt", where=where, hint=_HINT
    )
