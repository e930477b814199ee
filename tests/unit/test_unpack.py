"""A backup's archives put files below their target and nothing else, whatever is in them."""

import io
import tarfile
from pathlib import Path

import pytest

from agentplane.backup.unpack import unpack_archive
from agentplane.errors import Tampered


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, type_: bytes = tarfile.REGTYPE, mode: int = 0o600) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = type_, mode, "/etc/passwd"
    info.size = 1 if type_ == tarfile.REGTYPE else 0
    return info


def test_files_and_directories_come_back_with_their_modes(tmp_path: Path) -> None:
    unpack_archive(
        archive(tmp_path / "a", member("d", tarfile.DIRTYPE, 0o750), member("d/f", mode=0o640)), tmp_path / "t"
    )
    assert (tmp_path / "t/d/f").read_bytes() == b"x"
    assert (tmp_path / "t/d/f").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "t/d").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    "hostile",
    [
        member("/absolute"),
        member("../out"),
        member("a/../../out"),
        member("link", tarfile.SYMTYPE),
        member("hard", tarfile.LNKTYPE),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_what_no_backup_holds_is_refused(hostile: tarfile.TarInfo, tmp_path: Path) -> None:
    with pytest.raises(Tampered):
        unpack_archive(archive(tmp_path / "a", hostile), tmp_path / "t")
    assert not (tmp_path / "out").exists()


def test_a_name_twice_and_a_torn_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Tampered):
        unpack_archive(archive(tmp_path / "a", member("f"), member("f")), tmp_path / "t")
    whole = archive(tmp_path / "b", member("g")).read_bytes()
    (tmp_path / "b").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Tampered):
        unpack_archive(tmp_path / "b", tmp_path / "u")
