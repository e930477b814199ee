"""Archives of a guest: what is taken, what is refused, and that nothing else ever happens."""

import contextlib
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.errors import AgentplaneError, Refused
from agentplane.guests.tarball import TarLimits, scan
from agentplane.runners import collect
from agentplane.runs.model import ArtifactFact

LIMITS = TarLimits(entries=20, file_bytes=1000, total_bytes=3000, path_bytes=200, depth=5)


def archive(*members: tuple[str, bytes, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive of (name, type, data) as Python's own writer makes it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(data)
            if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
                info.linkname = "/etc/passwd"
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


def file(name: str, data: bytes = b"x") -> tuple[str, bytes, bytes]:
    return name, tarfile.REGTYPE, data


def directory(name: str) -> tuple[str, bytes, bytes]:
    return name, tarfile.DIRTYPE, b""


def paths(data: bytes) -> list[str]:
    return [entry.path for entry in scan(io.BytesIO(data), LIMITS)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_files_and_directories_are_taken(form: int) -> None:
    long = "d" * 60 + "/" + "n" * 60
    data = archive(directory("./"), directory("./d/"), file("./d/ä.txt"), file("./" + long), form=form)
    assert paths(data) == ["d", "d/ä.txt", long]


def test_contents_are_where_they_are_said_to_be() -> None:
    data = archive(file("a", b"first"), file("b", b"second" * 100))
    contents = [data[entry.offset : entry.offset + entry.size_bytes] for entry in scan(io.BytesIO(data), LIMITS)]
    assert contents == [b"first", b"second" * 100]


@pytest.mark.parametrize(
    ("members", "defect"),
    [
        ([file("/etc/passwd")], "absolute"),
        ([file("../up")], "leads elsewhere"),
        ([file("a/../../up")], "leads elsewhere"),
        ([file("a//b")], "leads elsewhere"),
        ([file("a/./b")], "leads elsewhere"),
        ([file("a"), file("a")], "twice"),
        ([file("a"), file("./a")], "twice"),
        ([file("a"), file("a/b")], "a file and a directory"),
        ([file("a/b"), file("a")], "twice"),
        ([file("a\nb")], "unprintable"),
        ([file("a\u202eb")], "unprintable"),
        ([file("a" * 190 + "/" + "b" * 20)], "too long"),
        ([file("a/b/c/d/e/f")], "deeper than 5"),
        ([file("big", b"x" * 1001)], "more than the 1000 of one file"),
        ([file(str(index), b"x" * 1000) for index in range(4)], "more than 3000 bytes in all"),
        ([file(str(index)) for index in range(21)], "more than 20 entries"),
        ([("l", tarfile.SYMTYPE, b"")], "a symbolic link"),
        ([("l", tarfile.LNKTYPE, b"")], "a hard link"),
        ([("d", tarfile.CHRTYPE, b"")], "a device"),
        ([("d", tarfile.BLKTYPE, b"")], "a device"),
        ([("f", tarfile.FIFOTYPE, b"")], "a fifo"),
        ([("s", tarfile.GNUTYPE_SPARSE, b"")], "of type b'S'"),
        ([("s", tarfile.CONTTYPE, b"")], "of type b'7'"),
        ([("d", b"5", b"contents")], "contents of its own"),
    ],
)
def test_defects_are_refused_by_name(members: list[tuple[str, bytes, bytes]], defect: str) -> None:
    with pytest.raises(Refused, match=defect) as refusal:
        paths(archive(*members))
    assert refusal.value.code == "artifacts.tar"


def test_pax_records_are_refused() -> None:
    with pytest.raises(Refused, match="of type b'x'"):
        paths(archive(file("n" * 150), form=tarfile.PAX_FORMAT))


def with_field(data: bytes, start: int, value: bytes) -> bytes:
    """The first header with a field replaced and its checksum made right again."""
    header = bytearray(data[:512])
    header[start : start + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


ONE = archive(file("a", b"x" * 600))


@pytest.mark.parametrize(
    ("data", "defect"),
    [
        (b"", "without its end mark"),
        (ONE[:600], "in the middle of a file"),
        (ONE[:1536], "without its end mark"),
        (ONE[:1536] + bytes(512), "without its end mark"),
        (ONE[:1536] + bytes(512) + ONE[:512], "half"),
        (ONE + ONE, "hidden behind"),
        (b"\1" + ONE[1:], "checksum"),
        (with_field(ONE, 257, b"tar\0\0\0"), "neither ustar nor GNU"),
        (with_field(ONE, 124, b"\x80" + bytes(10) + b"\x01"), "not octal"),
        (with_field(ONE, 124, b"-0000000001\0"), "not octal"),
        (with_field(ONE, 124, b"77777777777\0"), "in the middle of a file"),
        (with_field(ONE, 0, b"\xff\xfe"), "not UTF-8"),
        (with_field(ONE, 0, b"\0"), "empty"),
        (archive(("a", tarfile.GNUTYPE_LONGNAME, b"b" * 10)), "belongs to nothing"),
        (archive(*[("a", tarfile.GNUTYPE_LONGNAME, b"b")] * 2, file("c")), "repeated"),
        (archive(("a", tarfile.GNUTYPE_LONGNAME, b"b" * 900), file("c")), "too long"),
        (archive(("a", tarfile.GNUTYPE_LONGNAME, b"../x"), file("c")), "leads elsewhere"),
    ],
)
def test_broken_archives_are_refused(data: bytes, defect: str) -> None:
    with pytest.raises(Refused, match=defect):
        paths(data)


def nothing_but_refused(data: bytes) -> None:
    try:
        entries = scan(io.BytesIO(data), LIMITS)
    except Refused:
        return
    assert sum(entry.size_bytes for entry in entries) <= LIMITS.total_bytes
    for entry in entries:
        assert not entry.path.startswith("/")
        assert ".." not in entry.path.split("/")


@given(st.binary(max_size=4096))
def test_arbitrary_bytes_raise_nothing_but_refused(data: bytes) -> None:
    nothing_but_refused(data)


@given(st.lists(st.tuples(st.integers(0, len(ONE) - 1), st.integers(0, 255)), max_size=6), st.booleans())
def test_damaged_archives_raise_nothing_but_refused(damage: list[tuple[int, int]], repair: bool) -> None:
    data = bytearray(ONE)
    for place, value in damage:
        data[place] = value
    nothing_but_refused(with_field(bytes(data), 0, b"") if repair else bytes(data))


NAMES = st.text(alphabet=st.sampled_from("ab./\\\n\0é"), min_size=1, max_size=12)
KINDS = st.sampled_from([b"0", b"5", b"1", b"2", b"3", b"L", b"x", b"g", b"S"])


@given(st.lists(st.tuples(NAMES, KINDS, st.binary(max_size=40)), max_size=6))
def test_whatever_is_written_is_inside(members: list[tuple[str, bytes, bytes]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "outer" / "target"
        target.mkdir(parents=True)
        source = Path(place) / "result.tar"
        source.write_bytes(raw_archive(members))
        facts: tuple[ArtifactFact, ...] = ()
        with contextlib.suppress(Refused):
            facts = collect.extract(source, target, LIMITS)
        found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
        assert found == {fact.path for fact in facts}
        assert sorted(path.name for path in Path(place).iterdir()) == ["outer", "result.tar"]
        assert [path.name for path in (Path(place) / "outer").iterdir()] == ["target"]


def raw_archive(members: list[tuple[str, bytes, bytes]]) -> bytes:
    """Headers by hand: names that no honest writer would write."""
    blocks = []
    for name, kind, data in members:
        header = bytearray(512)
        encoded = name.encode()[:100]
        struct.pack_into("100s8s8s8s12s12s8sc", header, 0, encoded, b"0000644", b"0", b"0", b"%011o" % len(data), b"0",
                         b" " * 8, kind)  # fmt: skip
        header[257:265] = b"ustar  \0"
        header[148:156] = b"%06o\0 " % sum(header)
        blocks += [bytes(header), data + bytes(-len(data) % 512)]
    return b"".join(blocks) + bytes(1024)


def extract_into(tmp_path: Path, data: bytes, prepare: Callable[[Path], None]) -> Path:
    target = tmp_path / "target"
    target.mkdir()
    prepare(target)
    (tmp_path / "result.tar").write_bytes(data)
    collect.extract(tmp_path / "result.tar", target, LIMITS, frozenset({"run-artifact.json"}))
    return target


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(AgentplaneError) as refusal:
        extract_into(tmp_path, archive(file("d/f")), lambda target: (target / "d").symlink_to(tmp_path / "elsewhere"))
    assert refusal.value.code == "artifacts.write"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        extract_into(tmp_path, archive(file("f")), lambda target: (target / "f").symlink_to(tmp_path / "new"))
    assert refusal.value.code == "artifacts.in-the-way"
    assert not (tmp_path / "new").exists()


def test_the_executors_names_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        extract_into(tmp_path, archive(file("f"), file("run-artifact.json")), lambda _: None)
    assert refusal.value.code == "artifacts.reserved"
    assert not (tmp_path / "target" / "f").exists()
