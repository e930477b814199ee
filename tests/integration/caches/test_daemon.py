"""Where Nix has a daemon: the executor is a user it does not trust, so the daemon has to know the keys itself."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentplane.caches.keys import PublicKey
from agentplane.caches.pull import Sources, pull
from agentplane.caches.push import push
from agentplane.caches.reader import open_cache
from agentplane.errors import AgentplaneError
from agentplane.runners.nix import environment
from agentplane.runs.model import StorePath
from tests.integration.caches.conftest import Signer, Store

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the daemon must not trust its client, so they are two users")

NOBODY = 65534
StartDaemon = Callable[[str], str]


@pytest.fixture
def daemon(other: Store, tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts a daemon of the other host's store that trusts some keys; answers its address."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(keys: str) -> str:
        socket = tmp_path / f"socket-{len(processes)}"
        changes = {
            "NIX_DAEMON_SOCKET_PATH": str(socket),
            "NIX_REMOTE": other.url,
            "NIX_CONFIG": f"{environment()['NIX_CONFIG']}trusted-public-keys = {keys}\n",
        }
        process = subprocess.Popen(["nix-daemon"], env={**os.environ, **changes}, stderr=subprocess.DEVNULL)
        processes.append(process)
        while not socket.exists():
            assert process.poll() is None
            os.sched_yield()
        socket.chmod(0o666)
        return f"unix://{socket}"

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def pulled(what: StorePath, cache: Path, key: PublicKey, address: str, directory: Path) -> str:
    """What an executor of no privileges says: a fork of this process, since nobody may not read our interpreter."""
    own = directory / "own"
    own.mkdir(exist_ok=True)
    os.chown(own, NOBODY, NOBODY)
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.environ |= {"NIX_REMOTE": address, "HOME": str(own)}
            os.write(writing, _pull(what, cache, key, own / "staging").encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


def _pull(what: StorePath, cache: Path, key: PublicKey, staging: Path) -> str:
    sources = Sources(caches=(open_cache(cache.as_uri()),), trusted=(key,))
    features = {"NIX_CONFIG": "experimental-features = nix-command flakes\n"}
    try:
        return str(pull(what, sources, staging, features).paths)
    except AgentplaneError as error:
        return error.code


def test_the_daemon_must_know_the_key_as_well(
    builder: Store, other: Store, signer: Signer, daemon: StartDaemon, tmp_path: Path
) -> None:
    bundle, cache = builder.bundle(), tmp_path / "cache"
    push([bundle.path], cache.as_uri(), signer.file, environment(), store=builder.url)
    assert pulled(bundle, cache, signer.public, daemon(""), tmp_path) == "cache.import"
    assert not other.file(bundle.path).exists()
    assert pulled(bundle, cache, signer.public, daemon(str(signer.public)), tmp_path) == "3"
    assert other.file(bundle.path).read_bytes() == builder.file(bundle.path).read_bytes()
