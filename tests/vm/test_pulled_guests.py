"""A guest built once, pushed, gone from the store, pulled again: the very same, and hashed before it starts."""

import os
import secrets
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentplane.caches.keys import public_part, secret_text
from agentplane.caches.push import Copied, push
from agentplane.daemon.config import check_settings
from agentplane.errors import AgentplaneError, NotFound, Refused, Tampered
from agentplane.guests.spec import parse_guest
from agentplane.runners.kit import Kit
from agentplane.runners.nix import Nix, environment
from agentplane.runs.model import Built, StorePath
from services.executor.bundles import Bundles, guest_of, puller
from services.executor.config import ExecutorSettings
from services.executor.prefetch import prefetch
from tests.unit.executor.samples import assignment
from tests.unit.executor.test_config import MINIMAL
from tests.vm.conftest import HOSTILE

pytestmark = pytest.mark.vm


def nix_store(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nix-store", *argv], capture_output=True, text=True, check=False, env={**os.environ, **environment()}
    )


def forget(source: str, state_dir: Path) -> None:
    """Delete a tree and all that was made of it, which nothing but this state directory holds."""
    shutil.rmtree(state_dir, ignore_errors=True)
    known = nix_store("--query", "--referrers-closure", source)
    if known.returncode == 0:
        done = nix_store("--delete", *known.stdout.split())
        assert done.returncode == 0, done.stderr


class Travelled:
    """A bundle that nobody has but a cache."""

    def __init__(self, kit: Kit, directory: Path) -> None:
        bundle = directory / "bundle"
        shutil.copytree(HOSTILE / "well-behaved", bundle)
        (bundle / "unique").write_text(str(uuid.uuid4()))
        key = directory / "key"
        key.touch(mode=0o600)
        key.write_text(secret_text("builder-1", secrets.token_bytes(32)))
        builder = Nix(directory / "builder", kit)
        self.source = builder.add_tree(bundle, "bundle-demo")
        self.guest = builder.build_guest(self.source, "demo", "guest.nix", "smoke.sh")
        self.own = [self.guest.path, parse_guest(Path(self.guest.path).read_bytes()).image, self.source.path]
        self.cache = directory / "cache"
        self.copied: Copied = push([self.guest.path], self.cache.as_uri(), key, environment())
        self.state = directory / "executor"
        self.bundles = Bundles(
            caches=(self.cache.as_uri(),), trusted_public_keys=(str(self.copied.key),), build="never"
        )
        forget(self.source.path, directory / "builder")

    def executor(self, kit: Kit) -> Nix:
        return Nix(self.state, kit, pull=puller(self.bundles, self.state))


@pytest.fixture
def travelled(kit: Kit, tmp_path: Path) -> Iterator[Travelled]:
    made = Travelled(kit, tmp_path)
    yield made
    forget(made.source.path, made.state)


def prepare(nix: Nix, made: Travelled, **pins: Any) -> StorePath:
    work = assignment(source=made.source, built=(Built(backend="microvm", spec=made.guest),), **pins)
    nix.fetch(work.pins.source)
    spec = guest_of(work, nix, made.bundles)
    nix.verify_closure(spec.path)
    return spec


def test_a_guest_that_was_pushed_is_pulled_and_is_the_very_same(travelled: Travelled, kit: Kit) -> None:
    assert not any(Path(path).exists() for path in travelled.own)
    nix = travelled.executor(kit)
    assert prepare(nix, travelled) == travelled.guest
    assert all(Path(path).exists() for path in travelled.own)
    travelled.cache.rename(travelled.cache.with_name("away"))
    assert prepare(nix, travelled) == travelled.guest  # it is here now
    assert nix_store("--delete", travelled.guest.path).returncode != 0  # and held


def test_nothing_of_it_is_here_when_the_cache_is_away(travelled: Travelled, kit: Kit) -> None:
    travelled.cache.rename(travelled.cache.with_name("away"))
    with pytest.raises(AgentplaneError) as raised:
        prepare(travelled.executor(kit), travelled)
    assert raised.value.code == "cache.unreachable"
    assert not any(Path(path).exists() for path in travelled.own)


def test_another_bundles_guest_is_not_run_though_it_is_signed(travelled: Travelled, kit: Kit) -> None:
    with pytest.raises(AgentplaneError) as raised:
        prepare(travelled.executor(kit), travelled, bundle="other@1.0.0")
    assert raised.value.code == "guest.other-bundle"


@pytest.mark.parametrize("pulled_before", [True, False])
def test_a_part_that_was_altered_in_the_store_never_starts(travelled: Travelled, kit: Kit, pulled_before: bool) -> None:
    nix = travelled.executor(kit)
    if pulled_before:
        prepare(nix, travelled)
    else:
        nix.fetch(travelled.guest)
    image = Path(travelled.own[1])
    image.chmod(0o644)
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(content)
    image.chmod(0o444)
    with pytest.raises(Tampered) as raised:
        prepare(nix, travelled)
    assert raised.value.code == "store.hash"
    assert str(image) in str(raised.value)


def settings(made: Travelled, **bundles: Any) -> ExecutorSettings:
    listed = [{"path": made.guest.path, "nar_hash": made.guest.nar_hash}]
    changed = {**made.bundles.model_dump(), "prefetch": listed, **bundles}
    return check_settings(
        {**MINIMAL, "state_dir": str(made.state), "bundles": changed}, ExecutorSettings, origin="test"
    )


def test_a_guest_is_prefetched_and_the_run_needs_no_cache(travelled: Travelled, kit: Kit) -> None:
    assert prefetch(settings(travelled), travelled.state / "prefetch") == 0
    travelled.cache.rename(travelled.cache.with_name("away"))
    assert prefetch(settings(travelled), travelled.state / "prefetch") == 0
    assert prepare(travelled.executor(kit), travelled) == travelled.guest


def test_what_is_no_longer_wanted_is_no_longer_held(travelled: Travelled) -> None:
    assert prefetch(settings(travelled), travelled.state / "prefetch") == 0
    assert nix_store("--delete", travelled.guest.path).returncode != 0
    assert prefetch(settings(travelled, prefetch=[]), travelled.state / "prefetch") == 0
    assert nix_store("--delete", travelled.guest.path).returncode == 0


def test_what_nobody_we_trust_signed_is_not_prefetched(travelled: Travelled) -> None:
    stranger = str(public_part(secret_text("stranger-1", secrets.token_bytes(32))))
    refused = settings(travelled, trusted_public_keys=[stranger])
    assert prefetch(refused, travelled.state / "prefetch") == Refused.exit_status
    for description in travelled.cache.glob("*.narinfo"):
        text = description.read_text()
        description.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("Sig")))
    assert prefetch(settings(travelled), travelled.state / "prefetch") == Refused.exit_status
    assert not any(Path(path).exists() for path in travelled.own)


def test_a_part_that_is_gone_never_starts(travelled: Travelled, kit: Kit) -> None:
    nix = travelled.executor(kit)
    prepare(nix, travelled)
    Path(travelled.own[1]).unlink()
    with pytest.raises(NotFound) as raised:
        nix.verify_closure(travelled.guest.path)
    assert raised.value.code == "store.missing"
