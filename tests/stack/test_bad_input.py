"""Bad input at a running stack: a sentence with a code, an answer as data, evidence of what failed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.plane import ROOT, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack


def test_the_builders_last_lines_reach_who_ran_it(plane: Plane, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, "exit 0\n", name="unbuildable", backend="microvm")
    (bundle / "guest.nix").write_text("{ pkgs, ... }: { packages = [ pkgs.no-such-package ]; }\n")
    done = plane.call("run", bundle, "--wait", status=1)
    assert "nix.build-failed" in done.stderr
    assert "attribute 'no-such-package' missing" in done.stderr
    run = done.stdout.strip()
    assert plane.view(run, "failed")["outcome"] == "build-failed"
    plane.verify(run, tmp_path / "evidence")


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("get", "run", "nosuch"), "run.unknown"),
        (("get", "executor", "nosuch"), "executor.unknown"),
        (("describe", "run", "nosuch"), "run.unknown"),
        (("explain", "nosuch"), "run.unknown"),
        (("replay", "nosuch"), "run.unknown"),
        (("evidence", "show", "nosuch"), "run.unknown"),
        (("events", "show", "99999999"), "event.unknown"),
    ],
)
def test_what_is_not_there_is_said_as_data(plane: Plane, argv: tuple[str, ...], code: str) -> None:
    done = plane.call(*argv, "-o", "json", status=3)
    assert json.loads(done.stdout)["error"]["code"] == code
    assert f"[{code}]" in done.stderr


def test_a_run_that_must_wait_says_why_and_where_to_look(plane: Plane, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, "exit 0\n", name="elsewhere", executor="nosuch")
    run = plane.submit(bundle)
    plane.view(run, "waiting_for_resource")
    explained = plane.call("explain", run)
    assert "not-in-inventory" in explained.stdout + explained.stderr
    plane.call("cancel", run)
    plane.view(run, "superseded")


@pytest.mark.parametrize(
    ("daemon", "setting", "code", "status"),
    [
        ("control", ("signing_key_file",), "evidence.key.missing", 3),
        ("control", ("nats", "nkey_seed_file"), "nkey.unreadable", 4),
        ("control", ("postgres", "passfile"), "store.denied", 4),
        ("projector", ("read_postgres", "passfile"), "store.denied", 4),
        ("executor", ("control_public_key_file",), "evidence.key.missing", 3),
        ("executor", ("nats", "nkey_seed_file"), "nkey.unreadable", 4),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_a_missing_credential_ends_the_start_with_its_name(  # noqa: PLR0917 - a table
    plane: Plane, tmp_path: Path, daemon: str, setting: tuple[str, ...], code: str, status: int
) -> None:
    document = json.loads((plane.layout.config / f"{daemon}.json").read_text()) | {"metrics_port": None}
    if daemon == "executor":
        document["state_dir"] = str(tmp_path / "state")
    part = document
    for name in setting[:-1]:
        part = part[name]
    part[setting[-1]] = str(tmp_path / "gone")
    config = tmp_path / f"{daemon}.json"
    config.write_text(json.dumps(document))
    argv = [sys.executable, "-m", f"services.{daemon}", "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=90, check=False)
    assert done.returncode == status, done.stderr
    assert code in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "gone") in done.stderr or "passfile" in done.stderr


def test_a_bus_that_does_not_answer_is_said_so(plane: Plane) -> None:
    pid = plane.pid("nats")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        done = plane.call("get", "runs", "-o", "json", status=6)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert json.loads(done.stdout)["error"]["code"] == "bus.unreachable"
    assert "doctor" in done.stderr
