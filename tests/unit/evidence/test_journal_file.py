"""The journal on disk: durable in order, repaired only where a crash can tear, and never quietly."""

import os
from pathlib import Path

import pytest

from agentplane.canonical import digest_bytes
from agentplane.errors import Broken, Conflict, NotFound, Tampered, Transient
from agentplane.evidence import journal_file
from agentplane.evidence.journal_file import Claim, JournalFile
from agentplane.evidence.keys import Ed25519Signer, TrustedKeys
from agentplane.evidence.record import About, Record, open_record
from agentplane.evidence.statement import RunRef
from tests.unit.evidence.conftest import signer_for


def claim(number: int, run: str = "hello-0001", epoch: int = 1) -> Claim:
    about = About(
        run=RunRef(tenant="acme", name=run, epoch=epoch), bundle="hello@1.0.0", bundle_digest="sha256:" + "ab" * 32
    )
    return Claim(artifact={"kind": "RunArtifact", "n": number}, about=about, run_previous=None)


class Disk:
    """A journal's directory and the two ways to use it."""

    def __init__(self, directory: Path, signer: Ed25519Signer, trusted: TrustedKeys) -> None:
        self.directory, self.signer, self.trusted = directory, signer, trusted

    def open(self) -> JournalFile:
        return JournalFile(self.directory, self.signer, self.trusted, "exec-1")

    def filled(self, count: int) -> list[Record]:
        with self.open() as journal:
            return [journal.issue(claim(number)) for number in range(count)]

    @property
    def segment(self) -> Path:
        return max(self.directory.glob("*.jsonl"))


@pytest.fixture
def disk(tmp_path: Path, executor: Ed25519Signer, trusted: TrustedKeys) -> Disk:
    return Disk(tmp_path / "journal", executor, trusted)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "SEGMENT_RECORDS", 3)


def test_records_are_there_after_reopening(disk: Disk) -> None:
    written = disk.filled(5)
    with disk.open() as journal:
        assert list(journal.read()) == written
        assert (journal.head.index, journal.head.digest) == (5, written[-1].digest)
        assert journal.repair is None
        sixth = journal.issue(claim(6))
        assert sixth.statement.predicate.chain.previous == written[-1].digest


def test_an_empty_journal_reads_as_nothing(disk: Disk) -> None:
    with disk.open() as journal:
        assert list(journal.read()) == []
        assert journal.head.digest is None


def test_reading_begins_anywhere(disk: Disk, short_segments: None) -> None:
    written = disk.filled(10)
    with disk.open() as journal:
        for start in range(1, 12):
            assert list(journal.read(start)) == written[start - 1 :]


def test_a_journal_has_one_writer(disk: Disk) -> None:
    with disk.open():
        with pytest.raises(Conflict) as caught:
            disk.open()
        assert caught.value.code == "evidence.journal.locked"
    disk.open().close()


def test_every_torn_tail_is_cut_back_to_the_last_whole_record(disk: Disk) -> None:
    written = disk.filled(3)
    whole = disk.segment.read_bytes()
    kept = len(whole) - len(written[-1].envelope) - 1
    for length in range(kept + 1, len(whole)):
        disk.segment.write_bytes(whole[:length])
        with disk.open() as journal:
            assert journal.head.index == 2
            assert journal.repair is not None
            assert (journal.repair.kept_index, journal.repair.removed_bytes) == (2, length - kept)
        assert disk.segment.read_bytes() == whole[:kept]


@pytest.mark.parametrize("garbage", [b"\0" * 4096, b"\0" * 100 + b"\n", b"{}\n", b"\n"])
def test_garbage_that_a_crash_left_at_the_end_is_cut_off(disk: Disk, garbage: bytes) -> None:
    written = disk.filled(2)
    with disk.segment.open("ab") as file:
        file.write(garbage)
    with disk.open() as journal:
        assert list(journal.read()) == written
        assert journal.repair is not None
        assert journal.repair.removed_bytes == len(garbage)


def test_a_changed_record_in_the_middle_is_never_repaired(disk: Disk) -> None:
    disk.filled(3)
    whole = disk.segment.read_bytes()
    first_line_end = whole.index(b"\n")
    for position in range(0, first_line_end + 1, 7):
        changed = bytearray(whole)
        changed[position] ^= 1
        disk.segment.write_bytes(bytes(changed))
        with pytest.raises(Tampered):
            disk.open()
        assert disk.segment.read_bytes() == bytes(changed)


def test_a_changed_last_record_that_is_still_an_envelope_is_not_taken_for_torn(disk: Disk) -> None:
    written = disk.filled(2)
    whole = bytearray(disk.segment.read_bytes())
    whole[len(written[0].envelope) + 1 + 40] ^= 1  # inside the payload's base64
    disk.segment.write_bytes(bytes(whole))
    with pytest.raises(Tampered, match="record 2 does not verify"):
        disk.open()


def test_a_dropped_record_breaks_the_chain(disk: Disk) -> None:
    written = disk.filled(3)
    disk.segment.write_bytes(b"".join(record.envelope + b"\n" for record in (written[0], written[2])))
    with pytest.raises(Tampered) as caught:
        disk.open()
    assert caught.value.code == "evidence.chain"


def test_a_dropped_segment_breaks_the_chain(disk: Disk, short_segments: None) -> None:
    disk.filled(8)
    (disk.directory / "0000000004.jsonl").unlink()
    with pytest.raises(Tampered, match="record 6 is missing"):
        disk.open()


def test_a_change_in_an_older_segment_is_found_when_it_is_read(disk: Disk, short_segments: None) -> None:
    disk.filled(8)
    older = disk.directory / "0000000001.jsonl"
    changed = bytearray(older.read_bytes())
    changed[50] ^= 1
    older.write_bytes(bytes(changed))
    with disk.open() as journal:
        assert len(list(journal.read(4))) == 5
        with pytest.raises(Tampered):
            list(journal.read())


def test_a_journal_of_another_key_is_refused(disk: Disk, trusted: TrustedKeys) -> None:
    disk.filled(1)
    stranger = signer_for("executor/exec-1", seed=9)
    with pytest.raises(Tampered):
        JournalFile(disk.directory, stranger, TrustedKeys({"executor/exec-1": (stranger.public_key,)}), "exec-1")


def test_a_full_disk_leaves_nothing_half_written(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    written = disk.filled(1)
    before = disk.segment.read_bytes()
    real = os.write
    with disk.open() as journal:
        monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
        with pytest.raises(Transient) as caught:
            journal.issue(claim(2))
        assert caught.value.code == "evidence.journal.full"
        assert disk.segment.read_bytes() == before
        monkeypatch.undo()
        again = journal.issue(claim(2))
        assert again.statement.predicate.chain.previous == written[0].digest
    with disk.open() as journal:
        assert journal.head.index == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device_is_transient(disk: Disk) -> None:
    with disk.open() as journal:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, journal._writer._descriptor)
        os.close(full)
        with pytest.raises((Transient, Broken)):
            journal.issue(claim(1))
        assert journal.head.index == 0


def test_when_nothing_can_be_taken_back_the_journal_stops(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with disk.open() as journal:
        monkeypatch.setattr(os, "fdatasync", broken)
        monkeypatch.setattr(os, "ftruncate", broken)
        with pytest.raises(Broken):
            journal.issue(claim(1))
        monkeypatch.undo()
        with pytest.raises(Broken):
            journal.issue(claim(1))


def test_a_record_is_fsynced_before_it_is_handed_out(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    real = os.fdatasync

    def watch(descriptor: int) -> None:
        real(descriptor)
        synced.append(disk.segment.read_bytes())

    with disk.open() as journal:
        monkeypatch.setattr(os, "fdatasync", watch)
        record = journal.issue(claim(1))
    assert synced == [record.envelope + b"\n"]


def test_an_attempt_is_found_again_among_others(disk: Disk) -> None:
    with disk.open() as journal:
        journal.issue(claim(1, run="other"))
        mine = [journal.issue(claim(2)), journal.issue(claim(3))]
        journal.issue(claim(4, epoch=2))
        assert journal.attempt("acme", "hello-0001", 1) == tuple(mine)
        assert journal.attempt("acme", "hello-0001", 1, start=3) == (mine[1],)
        assert journal.attempt("evil", "hello-0001", 1) == ()


def test_committed_segments_may_be_forgotten_and_the_rest_still_verifies(disk: Disk, short_segments: None) -> None:
    written = disk.filled(10)
    with disk.open() as journal:
        assert journal.forget(5) == 1
        assert journal.first_index == 4
        assert list(journal.read(4)) == written[3:]
        with pytest.raises(NotFound):
            list(journal.read(3))
        assert journal.forget(10) == 1  # the one before the last stays
        assert journal.first_index == 7
    with disk.open() as journal:
        assert list(journal.read(7)) == written[6:]
        assert journal.issue(claim(11)).statement.predicate.chain.index == 11


def test_opening_a_long_journal_reads_its_end_only(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "SEGMENT_RECORDS", 10)
    disk.filled(95)
    opened = 0
    real = open_record

    def count(envelope: bytes, trusted: TrustedKeys) -> Record:
        nonlocal opened
        opened += 1
        return real(envelope, trusted)

    monkeypatch.setattr(journal_file, "open_record", count)
    with disk.open() as journal:
        assert journal.head.index == 95
    assert opened == 6  # the last of the segment before, and the five of the last one


def test_the_digest_of_a_record_is_that_of_its_line(disk: Disk) -> None:
    disk.filled(2)
    with disk.open() as journal:
        for line, record in zip(disk.segment.read_bytes().split(b"\n"), journal.read(), strict=False):
            assert digest_bytes(line) == record.digest


def test_reading_the_end_of_a_segment_verifies_nothing_before_it(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    written = disk.filled(40)
    with disk.open() as journal:
        opened: list[bytes] = []
        real = open_record

        def note(line: bytes, trusted: TrustedKeys) -> Record:
            opened.append(line)
            return real(line, trusted)

        monkeypatch.setattr(journal_file, "open_record", note)
        assert list(journal.read(39)) == written[38:]
    assert opened == [record.envelope for record in written[38:]]


@pytest.mark.parametrize("kept", [(0, 1, 2, 2, 4), (0, 1, 3, 4)], ids=["another before it", "one is gone"])
def test_reading_from_the_middle_sees_what_it_does_not_follow(disk: Disk, kept: tuple[int, ...]) -> None:
    written = [record.envelope for record in disk.filled(5)]
    with disk.open() as journal:
        disk.segment.write_bytes(b"".join(written[number] + b"\n" for number in kept))
        with pytest.raises(Tampered) as caught:
            list(journal.read(5))
    assert caught.value.code == "evidence.chain"


def test_reading_from_behind_what_is_left_is_noticed(disk: Disk) -> None:
    written = disk.filled(5)
    with disk.open() as journal:
        disk.segment.write_bytes(b"".join(record.envelope + b"\n" for record in written[:2]))
        with pytest.raises(Tampered, match="record 4 is missing"):
            list(journal.read(5))
