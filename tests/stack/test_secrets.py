"""A secret reaches the workload, and nothing else."""

import hashlib
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agentplane.store import roles
from tests.stack.plane import Plane
from tests.stack.processes import all_processes, words
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack

NAME = "TOKEN_FILE"  # a name of this form is also a variable that says where the file is
TELL = 'set -e\nsha256sum < "$TOKEN_FILE" | cut -d " " -f 1 > "$AGENTPLANE_ARTIFACTS/digest"\n'


@pytest.fixture
def token(plane: Plane) -> Iterator[bytes]:
    value = secrets.token_hex(24).encode()
    path = plane.layout.secrets / "user" / NAME
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(value)
    yield value
    path.unlink()


def found(plane: Plane, value: bytes) -> list[str]:
    """Everywhere the value is but where its owner put it: files, command lines, environments, the database."""
    root, own = plane.layout.root, plane.layout.secrets
    files = [path for path in root.rglob("*") if own not in path.parents and path.is_file() and not path.is_symlink()]
    places = [str(path) for path in files if value in _content(path)]
    for process in all_processes():
        places += [f"{process}/{file}" for file in ("cmdline", "environ") if value in words(process, file)]
    with psycopg.connect(plane.conninfo(roles.PROJECT)) as connection:
        rows = connection.execute("SELECT sequence, data FROM log.events").fetchall()
    return places + [f"event {sequence}" for sequence, data in rows if value in bytes(data)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it was removed meanwhile
        return b""


def test_a_sandboxed_process_gets_it(plane: Plane, tmp_path: Path, token: bytes) -> None:
    run = plane.submit(make_bundle(tmp_path, TELL + "sleep 1000 || exit 0\n", name="teller", secrets=(NAME,)))
    sleeper = plane.held(run)
    assert found(plane, token) == []
    os.kill(sleeper, signal.SIGTERM)
    _told(plane, run, token)


@pytest.mark.vm
def test_a_guest_gets_it(plane: Plane, tmp_path: Path, token: bytes) -> None:
    bundle = make_bundle(tmp_path, TELL + "sleep 2\n", name="guest-teller", backend="microvm", secrets=(NAME,))
    run = plane.submit(bundle)
    plane.launched(run)
    assert found(plane, token) == []
    _told(plane, run, token)


def _told(plane: Plane, run: str, token: bytes) -> None:
    finished = plane.sealed(run)
    assert finished["succeeded"], finished["message"]
    digest = (Path(finished["outDir"]) / "digest").read_text().strip()
    assert digest == hashlib.sha256(token).hexdigest()
    assert found(plane, token) == []
