"""What is prefetched, and what is let go; the fetching itself is tested where Nix is (tests/vm)."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentplane.errors import Refused
from agentplane.runs.model import StorePath
from services.executor.prefetch import let_go, main, recent
from services.executor.runstate import Prepared, RunRecord, Stage
from tests.unit.executor.test_config import MINIMAL

KEY = "builder-1:" + "A" * 43 + "="


def spec(letter: str) -> StorePath:
    return StorePath(path="/nix/store/" + letter * 32 + "-demo-guest.json", nar_hash="sha256:" + "1" * 52)


def ran(state: Path, run: str, guest: StorePath | None, age_s: int) -> None:
    directory = state / "runs" / "acme" / run / "1"
    directory.mkdir(parents=True)
    prepared = Prepared(spec=guest, guest=None, inputs=(), accelerator="tcg") if guest else None
    record = RunRecord(stage=Stage.SEALED, claimed_at="2026-01-31T12:00:00Z", prepared=prepared)
    file = directory / "state.json"
    file.write_bytes(msgspec.json.encode(record))
    os.utime(file, (1_000_000 - age_s, 1_000_000 - age_s))


def test_recent_guests_are_those_of_the_last_runs_once_each(tmp_path: Path) -> None:
    ran(tmp_path, "old", spec("a"), 30)
    ran(tmp_path, "newer", spec("b"), 20)
    ran(tmp_path, "again", spec("a"), 10)
    ran(tmp_path, "unprepared", None, 5)
    (tmp_path / "runs" / "acme" / "torn" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "acme" / "torn" / "1" / "state.json").write_text("{")
    assert recent(tmp_path) == (spec("a"), spec("b"))
    assert recent(tmp_path / "nowhere") == ()


def test_roots_of_what_is_not_wanted_are_dropped(tmp_path: Path) -> None:
    for letter in "ab":
        (tmp_path / letter).symlink_to(spec(letter).path)
    (tmp_path / "closure.json").write_text("[]")
    let_go(tmp_path, {spec("a").path})
    assert {path.name for path in tmp_path.iterdir()} == {"a", "closure.json"}
    let_go(tmp_path / "nowhere", set())


def configured(tmp_path: Path, **bundles: Any) -> str:
    path = tmp_path / "executor.json"
    path.write_text(json.dumps({**MINIMAL, "state_dir": str(tmp_path / "state"), "bundles": bundles}))
    return str(path)


def test_check_config_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = configured(tmp_path, caches=["http://cache"], trusted_public_keys=[KEY])
    assert main(["--config", good, "--check-config"]) == 0
    assert "is valid" in capsys.readouterr().err
    bad = configured(tmp_path, caches=["http://cache"])
    assert main(["--config", bad, "--check-config"]) == Refused.exit_status
    assert "trusted_public_keys" in capsys.readouterr().err


def test_a_list_without_a_cache_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [{"path": spec("a").path, "nar_hash": spec("a").nar_hash}]
    assert main(["--config", configured(tmp_path, prefetch=listed)]) == Refused.exit_status
    assert "prefetch.no-caches" in capsys.readouterr().err
