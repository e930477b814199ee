"""The door for files: what is there, what is not, and that nothing large is ever read whole."""

import os
from pathlib import Path

import pytest

from agentplane.documents import edge
from agentplane.documents.codes import CODES
from agentplane.documents.edge import read_document
from agentplane.errors import Refused
from tests.unit.documents import test_json, test_yaml


def _code(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        read_document(path)
    assert str(path) in str(caught.value.where)
    return caught.value.code


def test_a_document_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("kind: Bundle\n")
    assert read_document(tmp_path / "b.yaml").value == {"kind": "Bundle"}


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert _code(tmp_path / "none.json") == "document.missing"
    assert _code(tmp_path / "file" / "none.json") == "document.missing"
    assert _code(tmp_path / ("x" * 300)) == "document.missing"


def test_a_directory_is_no_document_and_its_bundle_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(Refused, match="directory") as caught:
        read_document(tmp_path)
    assert str(tmp_path / "bundle.json") in str(caught.value.hint)


def test_a_fifo_neither_hangs_nor_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert _code(tmp_path / "pipe") == "document.not-regular"


def test_a_device_is_refused() -> None:
    assert _code(Path("/dev/zero")) == "document.not-regular"


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert _code(tmp_path / "a") == "document.unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "f.json").touch(mode=0)
    assert _code(tmp_path / "f.json") == "document.unreadable"


def test_a_hundred_megabytes_are_refused_after_one(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    assert len(edge.read_bytes(path, 1 << 20)) == (1 << 20) + 1
    assert _code(path) == "document.too-large"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("dir", "dir/file"):
        (tmp_path / name).mkdir(exist_ok=True) if name == "dir" else (tmp_path / name).write_text("{}")
    for _ in range(5):
        _code(tmp_path / "dir")
        read_document(tmp_path / "dir" / "file")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_every_code_is_announced_and_every_announced_code_is_tested() -> None:
    tested = {code for _, code, _ in (*test_json.BAD.values(), *test_yaml.BAD.values())}
    here = {"document.missing", "document.directory", "document.not-regular", "document.unreadable"}
    assert tested | here == CODES.keys()
