"""A disk that is full: whoever reads finds whole lines only, and all of them once there is room again."""

import errno
from pathlib import Path

import pytest

from agentplane.mirror.directory import Mirror
from tests.smalldisk import SmallDisk, small_disk
from tests.unit.mirror.made import history
from tests.unit.mirror.test_mirror import contents, expected, written

_PAGE_BYTES = 4096  # a tmpfs hands out pages: the last line that still fits is cut somewhere


def leave(disk: SmallDisk, free_bytes: int) -> None:
    """Fill the disk but for some pages."""
    disk.fill()
    with (disk.path / ".filler").open("ab") as file:
        file.truncate(file.tell() - free_bytes)


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 5, 8])
def test_a_full_disk_has_whole_lines_and_all_of_them_when_there_is_room(tmp_path: Path, pages: int) -> None:
    events = history(60)
    with small_disk(tmp_path / "disk", 1) as disk:
        directory = disk.path / "mirror"
        written(directory, events[:10])
        leave(disk, pages * _PAGE_BYTES)
        with pytest.raises(OSError, match=r".") as caught:
            written(directory, events, batch=50)
        assert caught.value.errno == errno.ENOSPC
        for path, found in contents(directory).items():
            assert expected(events)[path].startswith(found)
            assert found.endswith(b"\n") or not found
        mirror = Mirror(directory)
        mirror.open()  # a new process, as full as before
        mirror.close()
        disk.free()
        written(directory, events)
        assert contents(directory) == expected(events)
