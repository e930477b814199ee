"""`agentplane controllers check --from FILE`, as CI runs it."""

import json
from pathlib import Path

import pytest

from agentplane.cli.main import main
from agentplane.domains import discovery
from agentplane.domains.discovery import Installed
from agentplane.domains.registry import Registry
from agentplane.events.cloudevents import encode
from agentplane.events.model import StoredEvent
from tests.domains import REGISTRY, Meter, Switch
from tests.unit.checks.test_check import Brighter, BrighterDeclared, lamps, registry_of, runs

__all__ = ["lamps", "runs"]


@pytest.fixture
def exported(lamps: list[StoredEvent], tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(encode(each) + b"\n" for each in reversed(lamps)))  # in any order
    return path


def installs(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.setattr(discovery, "installed", lambda: Installed(registry=registry, left_out=()))


def test_the_exit_status_says_whether_behaviour_changed_undeclared(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["controllers", "check", "--from", str(exported)]
    installs(monkeypatch, REGISTRY)
    assert main(command) == 0
    installs(monkeypatch, registry_of(Brighter(), Meter()))
    assert main(command) == 1
    assert main([*command, "--since", "1000000"]) == 0
    assert "patch.level: 3 → 9" in capsys.readouterr().err
    installs(monkeypatch, registry_of(BrighterDeclared(), Meter()))
    assert main([*command, "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["passed"], answer["undeclared"]) == (True, 0)
    assert {(each["declared"], each["recordedVersion"], each["version"]) for each in answer["differences"]} == {
        (True, 1, 2)
    }


def test_lines_that_cannot_be_read_are_named_and_fail(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installs(monkeypatch, registry_of(Switch(), Meter()))
    with exported.open("a") as lines:
        lines.write('{"event_id": "plain"}\n\n{"half')
    count = len(exported.read_bytes().splitlines())
    assert main(["controllers", "check", "--from", str(exported)]) == 1
    said = capsys.readouterr().err
    assert f"poison: line {count}: cloudevent.json" in said
    assert f"poison: line {count - 2}: cloudevent.attribute" in said
