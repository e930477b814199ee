"""A cache that lies: what is not exactly what was signed leaves nothing behind, and never fills the disk."""

import bz2
import itertools
import lzma
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentplane.caches.download import save_nar
from agentplane.caches.narinfo import NarInfo
from agentplane.errors import AgentplaneError, Tampered, Transient
from tests.unit.caches.samples import info_of, path

NAR = os.urandom(5000) + bytes(100_000)


def save(data: bytes, info: NarInfo, target: Path, step: int = 777) -> None:
    save_nar(iter([data[start : start + step] for start in range(0, len(data), step)]), info, target, "here")


@pytest.mark.parametrize(
    ("compression", "data"),
    [
        ("xz", lzma.compress(NAR)),
        ("xz", lzma.compress(NAR[:9]) + lzma.compress(NAR[9:])),
        ("bzip2", bz2.compress(NAR)),
        ("none", NAR),
    ],
)
def test_what_was_signed_is_kept(compression: str, data: bytes, tmp_path: Path) -> None:
    save(data, info_of(path("a"), NAR, compression=compression), tmp_path / "nar")
    assert (tmp_path / "nar").read_bytes() == NAR


def flipped(data: bytes) -> bytes:
    return data[:3000] + bytes([data[3000] ^ 1]) + data[3001:]


@pytest.mark.parametrize(
    ("compression", "data", "code"),
    [
        ("xz", lzma.compress(flipped(NAR)), "cache.nar-hash"),
        ("none", flipped(NAR), "cache.nar-hash"),
        ("xz", flipped(lzma.compress(NAR)), "cache.corrupt"),
        ("bzip2", flipped(bz2.compress(NAR)), "cache.corrupt"),
        ("xz", b"<html>" * 9, "cache.corrupt"),
        ("xz", lzma.compress(NAR)[:-20], "cache.truncated"),
        ("xz", lzma.compress(NAR[:-8]), "cache.truncated"),
        ("bzip2", bz2.compress(NAR)[:2000], "cache.truncated"),
        ("none", NAR[:-1], "cache.truncated"),
        ("none", b"", "cache.truncated"),
        ("xz", b"", "cache.truncated"),
        ("none", NAR + b"x", "cache.oversized"),
        ("xz", lzma.compress(NAR + b"x"), "cache.oversized"),
        ("xz", lzma.compress(NAR) + lzma.compress(b"x"), "cache.oversized"),
        ("zstd", NAR, "cache.compression"),
        ("", NAR, "cache.compression"),
    ],
)
def test_what_was_not_is_refused(compression: str, data: bytes, code: str, tmp_path: Path) -> None:
    with pytest.raises(AgentplaneError) as raised:
        save(data, info_of(path("a"), NAR, compression=compression), tmp_path / "nar")
    assert raised.value.code == code
    assert raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = lzma.compress(bytes(64 << 20))  # 10 KB
    written = 0

    def watched() -> Iterator[bytes]:
        nonlocal written
        for start in range(0, len(bomb), 512):
            written = max(written, (tmp_path / "nar").stat().st_size)
            yield bomb[start : start + 512]

    with pytest.raises(Tampered) as raised:
        save_nar(watched(), info_of(path("a"), NAR), tmp_path / "nar", "here")
    assert raised.value.code == "cache.oversized"
    assert written <= len(NAR)


def test_an_endless_stream_is_cut_off(tmp_path: Path) -> None:
    endless = itertools.repeat(lzma.compress(b""))
    with pytest.raises(Tampered) as raised:
        save_nar(endless, info_of(path("a"), NAR), tmp_path / "nar", "here")
    assert raised.value.code == "cache.oversized"


def test_a_disk_that_refuses_is_ours_to_mend(tmp_path: Path) -> None:
    with pytest.raises(Transient) as raised:
        save(NAR, info_of(path("a"), NAR, compression="none"), tmp_path / "nowhere" / "nar")
    assert raised.value.code == "cache.staging"
