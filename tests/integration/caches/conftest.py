"""Two Nix stores on one machine, and a cache between them."""

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentplane.caches.keys import PublicKey, parse_public_key
from agentplane.runners.nix import environment
from agentplane.runs.model import StorePath

TEXT = """
let needed = builtins.toFile "needed" "what the other one needs";
in builtins.toFile "bundle.json" "it needs ${needed} and ${builtins.toFile "also" "more"}"
"""


@pytest.fixture(scope="session", autouse=True)
def nix() -> None:
    if shutil.which("nix-store") is None:
        reason = "nix is not installed: nothing travels between stores"
        if os.environ.get("AGENTPLANE_REQUIRE_VM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def call(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, **environment()})
    return done.stdout.strip()


class Store:
    """A store of its own root: another host's, as far as Nix is concerned."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def bundle(self) -> StorePath:
        """A file that refers to two others."""
        path = call("nix-instantiate", "--store", self.url, "--eval", "--read-write-mode", "--expr", TEXT).strip('"')
        return StorePath(path=path, nar_hash=call("nix-store", "--store", self.url, "--query", "--hash", path))

    def known(self) -> set[str]:
        """All that is registered."""
        return set(call("nix", "--store", self.url, "path-info", "--all").split())

    def file(self, path: str) -> Path:
        return self.root / path.removeprefix("/")


@pytest.fixture
def builder(tmp_path: Path) -> Store:
    return Store(tmp_path / "builder")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


class Signer:
    """A key that Nix itself made."""

    def __init__(self, directory: Path, name: str) -> None:
        self.file = directory / f"{name}.secret"
        self.file.touch(mode=0o600)
        self.file.write_text(call("nix", "key", "generate-secret", "--key-name", name))
        done = subprocess.run(
            ["nix", "key", "convert-secret-to-public"],
            input=self.file.read_text(),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **environment()},
        )
        self.public: PublicKey = parse_public_key(done.stdout.strip())


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path, "builder-1")


@pytest.fixture
def stranger(tmp_path: Path) -> Signer:
    return Signer(tmp_path, "stranger-1")


class _Handler(SimpleHTTPRequestHandler):
    """Serves a directory, and takes files that are put there."""

    def do_PUT(self) -> None:
        target = Path(self.translate_path(self.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The directory `cache` behind HTTP, on this machine only."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "cache").mkdir(exist_ok=True)
    handler = functools.partial(_Handler, directory=str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
