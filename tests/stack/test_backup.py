"""A stack is backed up while it works, and comes back elsewhere; a backup that is not whole does not."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agentplane.evidence.edge import generate_key_pair, load_trusted_keys
from agentplane.store import roles
from tests.stack.plane import EXECUTOR, Data, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack

REPORT = 'echo "seed $AGENTPLANE_SEED" > "$AGENTPLANE_ARTIFACTS/report.txt"\nexit 0\n'


@pytest.fixture
def elsewhere(plane: Plane) -> Iterator[Plane]:
    """Where nothing is yet, with the guest kernel's notes of the other stack."""
    parent = Path(tempfile.mkdtemp(prefix="agentplane-restored-"))
    parent.chmod(0o711)
    other = Plane(parent / "state")
    yield other
    if other.layout.root.exists():
        other.call("stack", "down")
    shutil.rmtree(parent)


def backed_up(plane: Plane, target: Path, *options: str) -> Data:
    answer: Data = json.loads(plane.call("backup", "--to", target, *options, "-o", "json").stdout)
    return answer


def private_files(directory: Path) -> set[str]:
    """Files of a stack or a backup that hold what must stay secret."""
    return {path.name for path in directory.rglob("*") if path.suffix in {".key", ".nkey"}}


def test_back_up_during_a_run_and_restore_elsewhere(
    plane: Plane, elsewhere: Plane, gated: Path, tmp_path: Path
) -> None:
    ended = plane.submit(make_bundle(tmp_path, REPORT, name="report"))
    plane.sealed(ended)
    held = plane.submit(gated)
    sleeper = plane.held(held)
    made = backed_up(plane, tmp_path / "backup")
    assert made["log"]["events"] == made["log"]["last_sequence"] > 0
    assert private_files(tmp_path / "backup") == set()
    later = plane.submit(make_bundle(tmp_path, REPORT, name="later"))
    os.kill(sleeper, signal.SIGTERM)
    plane.sealed(held)
    plane.sealed(later)

    refused = elsewhere.call("restore", "--from", tmp_path / "backup", status=2)
    assert "backup.keys" in refused.stderr
    assert not elsewhere.layout.root.exists()
    keys = ("--keys", plane.layout.keys)
    restored = json.loads(elsewhere.call("restore", "--from", tmp_path / "backup", *keys, "-o", "json").stdout)
    assert restored["log"]["events"] - restored["events_after_mark"] == made["log"]["events"]
    assert restored["journal"] == made["journal"]

    elsewhere.call("stack", "up")
    elsewhere.call("projections", "rebuild")  # exit status 0: equal, row by row
    elsewhere.view(ended, "succeeded")
    assert elsewhere.events(ended) == plane.events(ended)
    assert elsewhere.events(later) == []
    files = elsewhere.layout.executor / Path(plane.sealed(ended)["outDir"]).relative_to(plane.layout.executor)
    elsewhere.call("evidence", "export", ended, "--to", tmp_path / "evidence", "--artifacts", files)
    elsewhere.call("evidence", "verify", tmp_path / "evidence", "--keys", plane.layout.trusted_keys)
    # the guest stayed where it was: here its attempt is lost, said in a statement, and the run begins again
    elsewhere.until(held, "run.requeued")
    os.kill(elsewhere.sleeper(held, 2), signal.SIGTERM)
    assert elsewhere.sealed(held)["epoch"] == 2
    elsewhere.verify(held, tmp_path / "held-evidence")
    fresh = elsewhere.submit(make_bundle(tmp_path, REPORT, name="fresh"))
    elsewhere.sealed(fresh)
    elsewhere.verify(fresh, tmp_path / "fresh-evidence")


def test_a_backup_with_keys_is_closed_and_needs_no_others(plane: Plane, elsewhere: Plane, tmp_path: Path) -> None:
    backed_up(plane, tmp_path / "backup", "--with-keys")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "backup").rglob("*") if path.is_file()}
    assert modes == {0o600}
    strange = tmp_path / "strange"
    strange.mkdir()
    for name in ("control", EXECUTOR):
        generate_key_pair(strange, name)
    refused = elsewhere.call("restore", "--from", tmp_path / "backup", "--keys", strange, status=2)
    assert "backup.keys" in refused.stderr
    elsewhere.call("restore", "--from", tmp_path / "backup")
    assert private_files(elsewhere.layout.root) == private_files(plane.layout.root)
    again = elsewhere.call("restore", "--from", tmp_path / "backup", status=5)
    assert "backup.not-empty" in again.stderr


def test_a_damaged_or_partial_backup_is_refused_by_name(plane: Plane, elsewhere: Plane, tmp_path: Path) -> None:
    whole = tmp_path / "backup"
    listed = backed_up(plane, whole)["files"]
    for entry in listed:
        path, good = whole / entry["path"], (whole / entry["path"]).read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]) if good else b"x")
        assert_refused(elsewhere, plane, whole, str(path))
        path.unlink()
        assert_refused(elsewhere, plane, whole, str(path))
        path.write_bytes(good)
    (whole / "journal" / "strange").write_bytes(b"")
    assert_refused(elsewhere, plane, whole, "strange")
    (whole / "journal" / "strange").unlink()
    (whole / "manifest.json").unlink()
    assert_refused(elsewhere, plane, whole, "backup.partial")


def test_a_forged_log_does_not_come_back(plane: Plane, elsewhere: Plane, tmp_path: Path) -> None:
    """Somebody changes the database and makes a manifest to fit: the digests of the events still tell."""
    from agentplane.backup import audit
    from agentplane.errors import Tampered

    backed_up(plane, tmp_path / "backup", "--with-keys")
    elsewhere.call("restore", "--from", tmp_path / "backup")
    elsewhere.call("stack", "up")
    trusted = load_trusted_keys(elsewhere.layout.trusted_keys)
    owner = elsewhere.conninfo(roles.OWNER)
    mark = audit.mark(owner)
    assert audit.audit(owner, mark, trusted, lambda *_: None) == mark
    with psycopg.connect(owner) as connection:
        connection.execute("ALTER TABLE log.events DISABLE TRIGGER append_only")
        connection.execute("UPDATE log.events SET actor = 'user:mallory' WHERE sequence = 3")
    with pytest.raises(Tampered, match="event 3"):
        audit.audit(owner, mark, trusted, lambda *_: None)


def assert_refused(elsewhere: Plane, plane: Plane, backup: Path, name: str) -> None:
    refused = elsewhere.call("restore", "--from", backup, "--keys", plane.layout.keys, status=None)
    assert refused.returncode in {2, 7}, refused.stderr
    assert name in refused.stderr
    assert not elsewhere.layout.root.exists()
