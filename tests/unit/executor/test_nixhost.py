"""Which guest a replay gets; Nix itself is tested where it runs (tests/nix, tests/vm)."""

from pathlib import Path
from typing import Any

import pytest

from agentplane.errors import Broken, NotFound, Tampered
from agentplane.runs.model import StorePath
from services.executor.config import ExecutorSettings
from services.executor.nixhost import NixHost
from tests.unit.executor.samples import assignment
from tests.unit.executor.scripted import PIN, SPEC
from tests.unit.executor.test_config import MINIMAL


class FakeStore:
    """A store that holds some paths and builds one guest."""

    def __init__(self, held: set[str], builds: StorePath = SPEC) -> None:
        self.held = held
        self.builds = builds
        self.built = 0

    def fetch(self, pinned: StorePath) -> None:
        if pinned.path not in self.held:
            raise NotFound("not here", code="store.missing")

    def build_guest(self, *what: Any) -> StorePath:
        self.built += 1
        return self.builds


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NixHost:
    deb = tmp_path / "linux.deb"
    deb.write_bytes(b"deb")
    changes = {"state_dir": str(tmp_path), "vm_kit": str(tmp_path), "kernel_deb": str(deb)}
    return NixHost(ExecutorSettings.model_validate({**MINIMAL, **changes}))


def guest(host: NixHost, store: FakeStore) -> StorePath:
    host._made = store  # type: ignore[assignment]
    return host._guest(assignment(replay_guest=PIN))


def test_a_replay_takes_the_pinned_guest_where_it_is(host: NixHost) -> None:
    store = FakeStore({SPEC.path})
    assert guest(host, store) == SPEC
    assert store.built == 0


def test_a_replay_builds_the_pinned_guest_again_where_it_is_not(host: NixHost) -> None:
    assert guest(host, FakeStore(set())) == SPEC


def test_a_guest_that_comes_out_otherwise_is_not_passed_off_as_the_pinned_one(host: NixHost) -> None:
    other = StorePath(path=SPEC.path, nar_hash="sha256:" + "2" * 52)
    with pytest.raises(Broken) as caught:
        guest(host, FakeStore(set(), builds=other))
    assert caught.value.code == "nix.not-reproduced"


def test_a_pinned_guest_with_other_content_is_an_alarm_and_not_a_rebuild(host: NixHost) -> None:
    class Tampering(FakeStore):
        def fetch(self, pinned: StorePath) -> None:
            raise Tampered("hashes to something else", code="store.hash")

    with pytest.raises(Tampered):
        guest(host, Tampering(set()))
