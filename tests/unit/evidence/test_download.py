"""Files from afar: whole, as sealed, resumable, never outside their directory."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentplane.errors import AgentplaneError, Transient
from agentplane.evidence.download import check_total, fetch_file, place
from agentplane.runs.model import ArtifactFact

DATA = os.urandom(5000)


def fact(path: str = "sub/report.bin", data: bytes = DATA) -> ArtifactFact:
    return ArtifactFact(path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


class Remote:
    """An executor's file, handed out 1000 bytes at a time; breaks off after `breaks_after` pieces."""

    def __init__(self, data: bytes = DATA, breaks_after: int | None = None) -> None:
        self.data = data
        self.breaks_after = breaks_after
        self.offsets: list[int] = []

    async def chunks(self, path: str, offset: int, upto: int) -> AsyncIterator[bytes]:
        self.offsets.append(offset)
        for number, start in enumerate(range(offset, min(upto, len(self.data)), 1000)):
            if number == self.breaks_after:
                raise Transient("away", code="artifact.away")
            yield self.data[start : min(start + 1000, upto)]


async def test_a_file_arrives_whole(tmp_path: Path) -> None:
    target = place(tmp_path, fact())
    assert await fetch_file(fact(), target, Remote().chunks)
    assert target.read_bytes() == DATA
    assert names(target.parent) == ["report.bin"]
    remote = Remote()
    assert not await fetch_file(fact(), target, remote.chunks)
    assert remote.offsets == []


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    assert await fetch_file(fact(data=b""), tmp_path / "empty", Remote(b"").chunks)
    assert (tmp_path / "empty").read_bytes() == b""


async def test_what_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    target = tmp_path / "report.bin"
    with pytest.raises(Transient):
        await fetch_file(fact(), target, Remote(breaks_after=2).chunks)
    assert not target.exists()
    remote = Remote()
    assert await fetch_file(fact(), target, remote.chunks)
    assert remote.offsets == [2000]
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", DATA[:-1] + b"x", b""])
async def test_what_was_not_sealed_is_not_kept(data: bytes, tmp_path: Path) -> None:
    expected = fact(data=DATA if data != DATA + b"x" else DATA[:-1] + b"y")
    with pytest.raises(AgentplaneError) as raised:
        await fetch_file(expected, tmp_path / "report.bin", Remote(data).chunks)
    assert raised.value.code == "artifacts.differs"
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["other", "directory", "link"])
async def test_what_is_there_is_not_written_over(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "report.bin"
    if kind == "other":
        target.write_text("mine")
    elif kind == "directory":
        target.mkdir()
    else:
        target.symlink_to("/etc/hostname")
    with pytest.raises(AgentplaneError) as raised:
        await fetch_file(fact(), target, Remote().chunks)
    assert raised.value.code == "artifacts.exists"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ".", "", "link/x"])
def test_a_path_that_leads_out_is_an_alarm(path: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/tmp")
    with pytest.raises(AgentplaneError) as raised:
        place(tmp_path, fact(path))
    assert raised.value.code == "artifacts.path"


def test_too_much_is_refused_before_anything_is_fetched() -> None:
    assert check_total([fact(), fact("b")], 10_000) == 10_000
    with pytest.raises(AgentplaneError) as raised:
        check_total([fact(), fact("b")], 9_999)
    assert raised.value.code == "artifacts.too-large"
