"""Which keys counted when, proven to somebody who holds control's public key only: rotated, revoked, stolen."""

import json
import os
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.evidence.edge import load_signer, load_trusted_keys
from agentplane.evidence.export import manifest_bytes, summarise
from agentplane.evidence.export_file import read_export
from agentplane.evidence.key_history import open_history, trusting
from agentplane.evidence.record import About, Record, issue, open_record
from agentplane.evidence.verify import Step, verify_export
from agentplane.stack import joiners
from tests.stack.plane import Plane
from tests.stack.workloads import GATED, make_bundle

pytestmark = pytest.mark.stack

NAME = "exec-keyed"


def verified(plane: Plane, export: Path, keys: Path, status: int = 0) -> list[dict[str, Any]]:
    done = plane.call(
        "evidence", "verify", export, "--keys", keys, "--require-key-history", "-o", "json", status=status
    )
    steps: list[dict[str, Any]] = json.loads(done.stdout)["steps"]
    return steps


def forge_end(export: Path, private_key: Path) -> None:
    """Sign the seal anew as a later record, and make everything else fit."""
    found = read_export(export)
    own = load_trusted_keys(export / "keys")
    lines = (found.evidence or b"").splitlines()
    records = [open_record(line, own) for line in lines]
    last = records[-1].statement
    about = About(run=last.predicate.run, bundle=last.bundle, bundle_digest=last.bundle_digest)
    link = replace(last.predicate.chain, index=last.predicate.chain.index + 1)
    forged: Record = issue(
        last.predicate.artifact, about=about, link=link, signer=load_signer(private_key, f"executor/{NAME}")
    )
    (export / "evidence.jsonl").write_bytes(b"\n".join([*lines[:-1], forged.envelope, b""]))
    again = read_export(export)
    (export / "manifest.json").write_bytes(manifest_bytes(summarise([*records[:-1], forged]), again.files))


def test_keys_are_judged_by_when_they_counted(plane: Plane, tmp_path: Path) -> None:
    only_control = tmp_path / "keys"
    only_control.mkdir()
    shutil.copy(plane.layout.trusted_keys / "control.pub", only_control)
    plane.call("stack", "add-executor", NAME)
    state = joiners.state_dir(plane.layout, NAME)

    run = plane.submit(make_bundle(tmp_path, GATED, name="keyed"), "--executor", NAME)
    sleeper = plane.sleeper(run, 1, state)
    plane.call("executor", "rotate", NAME, "--overlap", "10m", "--wait")
    os.kill(sleeper, signal.SIGTERM)
    plane.sealed(run)
    plane.view(run, "succeeded")
    export = tmp_path / "export"
    answer = json.loads(plane.call("evidence", "export", run, "--to", export, "-o", "json").stdout)
    assert (answer["keyHistory"], answer["marked"]) == (True, 0)
    assert "committed while their keys counted" in verified(plane, export, only_control)[-1]["detail"]
    history = open_history((export / "executor-keys.json").read_bytes(), load_trusted_keys(only_control)).history
    (executor,) = history.executors
    first, second = executor.keys
    assert first.admitted < (first.superseded or 0) == second.admitted
    signers = {open_record(line, trusting(load_trusted_keys(only_control), history)).key_id for line in lines(export)}
    assert {first.key_id, second.key_id} < signers  # the run was reported with both, and control's is the third

    plane.call("executor", "revoke", NAME, "--reason", "stolen")
    later = tmp_path / "later"
    plane.call("evidence", "export", run, "--to", later)
    assert "executor/exec-keyed" in verified(plane, later, only_control)[2]["detail"]  # as good as it was
    newer = open_history((later / "executor-keys.json").read_bytes(), load_trusted_keys(only_control)).history
    assert newer.executors[0].revoked is not None
    assert newer.executors[0].revoked > max(each.sequence for each in newer.statements)

    forge_end(later, state / "keys" / "current" / "executor.key")
    held = plane.layout.trusted_keys  # where the stolen key is trusted by hand as well
    for keys in (only_control, held):
        (step,) = [step for step in verified(plane, later, keys, status=1) if step["status"] == "fail"]
        assert (step["name"], step["code"]) == ("key-times", "evidence.key-revoked")
        assert f"event {newer.executors[0].revoked}" in step["detail"]
    assert failing(later, load_trusted_keys(held)) == ["key-times"]


def lines(export: Path) -> list[bytes]:
    return (export / "evidence.jsonl").read_bytes().splitlines()


def failing(export: Path, keys: Any) -> list[str]:
    steps: tuple[Step, ...] = verify_export(read_export(export), keys, datetime.now(UTC)).steps
    return [step.name for step in steps if not step.ok]
