"""What is on disk is held to what was registered; Nix itself is tested where it runs (tests/vm)."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from agentplane.errors import AgentplaneError, Broken
from agentplane.runners import closures
from agentplane.runners.closures import registered, verify_closure
from agentplane.runners.command import Completed
from agentplane.runners.nar import nar_hash
from agentplane.runs.model import StorePath

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


def sri(nar: str) -> str:
    number = 0
    for digit in nar.removeprefix("sha256:"):
        number = number << 5 | ALPHABET.index(digit)
    return "sha256-" + base64.b64encode(number.to_bytes(32, "little")).decode()


class FakeNix:
    """Answers `nix path-info`, and counts how often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.says: Any = []
        self.status = 0
        self.asked = 0
        monkeypatch.setattr(closures, "run", self._run)

    def _run(self, argv: list[str], **_: Any) -> Completed:
        self.asked += 1
        data = self.says if isinstance(self.says, bytes) else json.dumps(self.says).encode()
        return Completed(argv=tuple(argv), status=self.status, stdout=data, stderr=b"")


@pytest.fixture
def nix(monkeypatch: pytest.MonkeyPatch) -> FakeNix:
    return FakeNix(monkeypatch)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_text("content")
    return path


def entry(path: Path) -> dict[str, str]:
    return {"path": str(path), "narHash": sri(nar_hash(path)), "narSize": "1"}


def test_both_forms_of_nixs_answer_are_read(nix: FakeNix, part: Path) -> None:
    expected = (StorePath(path=str(part), nar_hash=nar_hash(part)),)
    nix.says = [entry(part)]
    assert registered("root", {}) == expected
    nix.says = {str(part): {"narHash": entry(part)["narHash"]}}
    assert registered("root", {}) == expected


@pytest.mark.parametrize("says", [b"", b"3", [{"path": "x"}], [{"path": "x", "narHash": "md5-AAAA"}], [{"narHash": 1}]])
def test_what_nix_does_not_say_is_an_error_of_ours(nix: FakeNix, says: Any) -> None:
    nix.says = says
    with pytest.raises(Broken) as raised:
        registered("root", {})
    assert raised.value.code == "store.query"


def test_nix_is_asked_once_and_the_disk_each_time(nix: FakeNix, part: Path, tmp_path: Path) -> None:
    nix.says = [entry(part)]
    for _ in range(3):
        verify_closure("root", tmp_path / "records", {})
    assert nix.asked == 1
    part.write_text("tampered")
    with pytest.raises(AgentplaneError) as raised:
        verify_closure("root", tmp_path / "records", {})
    assert raised.value.code == "store.hash"
    part.unlink()
    with pytest.raises(AgentplaneError) as raised:
        verify_closure("root", tmp_path / "records", {})
    assert raised.value.code == "store.missing"


def test_what_was_made_anew_counts_as_it_is_registered_now(nix: FakeNix, part: Path, tmp_path: Path) -> None:
    nix.says = [entry(part)]
    verify_closure("root", tmp_path / "records", {})
    part.write_text("built again, and otherwise")
    nix.says = [entry(part)]
    assert verify_closure("root", tmp_path / "records", {})[0].nar_hash == nar_hash(part)
    assert nix.asked == 2


def test_a_root_that_nix_does_not_know(nix: FakeNix) -> None:
    nix.status = 1
    with pytest.raises(AgentplaneError) as raised:
        registered("root", {})
    assert raised.value.code == "store.missing"
