"""Which guest a run gets, and from whom; Nix itself is tested where it runs (tests/nix, tests/vm)."""

from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest

from agentplane.daemon.config import check_settings
from agentplane.errors import AgentplaneError, Broken, NotFound, Refused, Tampered, Transient
from agentplane.guests.spec import GuestSpec, Machine
from agentplane.runs.model import Built, StorePath
from agentplane.runs.protocol import Assignment
from services.executor import bundles as bundles_module
from services.executor.bundles import (
    STAGING,
    Bundles,
    Stoppable,
    check_bundle,
    clear_staging,
    guest_of,
    puller,
    sources_of,
)
from tests.unit.caches.samples import MemoryCache
from tests.unit.executor.samples import SOURCE, assignment
from tests.unit.executor.scripted import PIN, SPEC

KEY = "builder-1:" + "A" * 43 + "="
OTHER = StorePath(path=SPEC.path, nar_hash="sha256:" + "2" * 52)
PUSHED = StorePath(path="/nix/store/" + "c" * 32 + "-demo-guest.json", nar_hash="sha256:" + "3" * 52)
BUILT = (Built(backend="microvm", spec=PUSHED),)


class FakeStore:
    """A store that holds some paths and builds one guest."""

    def __init__(self, held: set[str], builds: StorePath = SPEC) -> None:
        self.held = held
        self.builds = builds
        self.built: list[str] = []

    def fetch(self, pinned: StorePath) -> None:
        if pinned.path not in self.held:
            raise NotFound("not here", code="store.missing")

    def build_guest(self, *what: Any) -> StorePath:
        self.built.append("guest")
        return self.builds

    def build_process(self, *what: Any) -> StorePath:
        self.built.append("process")
        return self.builds


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[StorePath]:
    """The pinned guests that were compared with their bundle."""
    seen: list[StorePath] = []
    monkeypatch.setattr(bundles_module, "check_bundle", lambda spec, _: seen.append(spec))
    return seen


def guest(store: FakeStore, work: Assignment, **settings: Any) -> StorePath:
    return guest_of(work, store, Bundles(**settings))


def test_a_replay_takes_the_guest_that_ran_where_it_is() -> None:
    store = FakeStore({SPEC.path})
    assert guest(store, assignment(replay_guest=PIN)) == SPEC
    assert store.built == []


def test_a_replay_builds_the_guest_that_ran_again_where_it_is_not() -> None:
    assert guest(FakeStore(set()), assignment(replay_guest=PIN)) == SPEC


def test_a_guest_that_comes_out_otherwise_is_not_passed_off_as_the_pinned_one() -> None:
    with pytest.raises(Broken) as caught:
        guest(FakeStore(set(), builds=OTHER), assignment(replay_guest=PIN))
    assert caught.value.code == "nix.not-reproduced"


def test_a_pinned_guest_with_other_content_is_an_alarm_and_not_a_rebuild() -> None:
    class Tampering(FakeStore):
        def fetch(self, pinned: StorePath) -> None:
            raise Tampered("hashes to something else", code="store.hash")

    store = Tampering(set())
    for work in (assignment(replay_guest=PIN), assignment(built=BUILT)):
        with pytest.raises(Tampered):
            guest(store, work)
    assert store.built == []


def test_a_pushed_guest_is_taken_and_not_built(checked: list[StorePath]) -> None:
    store = FakeStore({PUSHED.path})
    assert guest(store, assignment(built=BUILT), build="never") == PUSHED
    assert (store.built, checked) == ([], [PUSHED])


def test_a_pushed_guest_that_no_cache_has_is_built_where_that_is_allowed_and_gives_the_same() -> None:
    assert guest(FakeStore(set(), builds=PUSHED), assignment(built=BUILT)) == PUSHED
    with pytest.raises(Broken) as caught:
        guest(FakeStore(set()), assignment(built=BUILT))
    assert caught.value.code == "nix.not-reproduced"
    store = FakeStore(set(), builds=PUSHED)
    with pytest.raises(NotFound):
        guest(store, assignment(built=BUILT), build="never")
    assert store.built == []


def test_a_run_without_a_pushed_guest_for_its_backend() -> None:
    store = FakeStore({PUSHED.path})
    process = assignment(built=BUILT, backend="process")
    assert guest(store, process) == SPEC
    assert store.built == ["process"]
    with pytest.raises(Refused) as caught:
        guest(store, process, build="never")
    assert (caught.value.code, bool(caught.value.hint)) == ("bundle.not-built", True)


def spec(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "api_version": "agentplane.guest/v1",
        "name": "demo",
        "kernel": "/nix/store/" + "d" * 32 + "-guest-kernel/kernel",
        "initrd": "/nix/store/" + "f" * 32 + "-guest-initrd/initrd.cpio",
        "machine": Machine(arch="x86_64", types=("microvm",), min_memory_mib=128, tcg_cmdline=""),
        "cmdline": "quiet",
        "image": "/nix/store/" + "g" * 32 + "-image",
        "entry": f"{SOURCE.path}/smoke.sh",
        "environment": {},
        "path": ("/bin",),
        "working_directory": SOURCE.path,
    }
    return msgspec.json.encode(GuestSpec(**{**fields, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"entry": f"{SOURCE.path}/other.sh"},
        {"working_directory": "/nix/store/" + "h" * 32 + "-demo"},
    ],
)
def test_another_bundles_guest_is_refused_however_well_it_is_signed(changes: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "guest.json"
    at = StorePath(path=str(file), nar_hash=SPEC.nar_hash)
    file.write_bytes(spec())
    check_bundle(at, assignment())
    file.write_bytes(spec(**changes))
    with pytest.raises(Refused) as caught:
        check_bundle(at, assignment())
    assert caught.value.code == "guest.other-bundle"


def settings(**changes: Any) -> Bundles:
    return check_settings(changes, Bundles, origin="test")


def test_without_caches_nothing_is_pulled(tmp_path: Path) -> None:
    assert puller(settings(), tmp_path) is None
    assert puller(settings(caches=["file:///srv/cache"], trusted_public_keys=[KEY]), tmp_path) is not None


def test_a_download_ends_when_the_executor_stops(tmp_path: Path) -> None:
    cache, stopping = MemoryCache(), Event()
    cache.files["large"] = bytes(5000)
    chunks = Stoppable(cache, stopping).chunks("large")
    assert next(chunks)
    stopping.set()
    with pytest.raises(Transient) as caught:
        next(chunks)
    assert caught.value.code == "cache.stopped"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / STAGING / "pull-1" / "nar").mkdir(parents=True)
    clear_staging(tmp_path)
    clear_staging(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_caches_and_keys_as_configured() -> None:
    sources = sources_of(settings(caches=["file:///a", "http://b:1/c/"], trusted_public_keys=[KEY], max_closure_mib=1))
    assert [cache.url for cache in sources.caches] == ["file:///a", "http://b:1/c"]
    assert [str(key) for key in sources.trusted] == [KEY]
    assert sources.limits.total_bytes == 1 << 20


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"caches": ["file:///srv/cache"]}, "trusted_public_keys"),
        ({"caches": ["/srv/cache"], "trusted_public_keys": [KEY]}, "caches.0"),
        ({"caches": ["file://host/cache"], "trusted_public_keys": [KEY]}, "caches.0"),
        ({"caches": ["http://user:secret@host"], "trusted_public_keys": [KEY]}, "caches.0"),
        ({"caches": ["s3://bucket"], "trusted_public_keys": [KEY]}, "caches.0"),
        ({"trusted_public_keys": ["builder-1"]}, "trusted_public_keys.0"),
        ({"trusted_public_keys": [KEY + "x"]}, "trusted_public_keys.0"),
        ({"build": "always"}, "build"),
        ({"patience_seconds": 0}, "patience_seconds"),
        ({"prefetch": [{"path": "/etc/passwd", "nar_hash": SPEC.nar_hash}]}, "prefetch.0.path"),
        ({"prefetch": [{"path": SPEC.path, "nar_hash": "sha256:x"}]}, "prefetch.0.nar_hash"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(AgentplaneError) as caught:
        settings(**changes)
    assert field in str(caught.value)
    assert "secret" not in str(caught.value).replace("secret key", "")
