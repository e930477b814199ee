"""Nix: trees into the store, guests out of the kit (vm/), and whether a path still holds what was pinned.

Everything built is remembered under a key of what went in (source hash, kit hash, names) by a link in the state
directory that is also a garbage-collector root; a warm run does not call Nix at all. A bundle's module is code of a
stranger: it is evaluated restricted to the kit, its own directory and this machine's packages, without a network.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agentplane.canonical import canonical_bytes
from agentplane.errors import Broken, NotFound, Refused, Tampered
from agentplane.guests.spec import STORE_PATH
from agentplane.runners.builders import builders, has_daemon
from agentplane.runners.closures import verify_closure
from agentplane.runners.command import run
from agentplane.runners.kit import Kit
from agentplane.runners.nar import nar_hash
from agentplane.runs.model import StorePath

_BUILD_TIMEOUT_S: Final = 900.0
Pull = Callable[[StorePath], object]  # has a path and all it needs in the store afterwards, or raises

_ALTERED: Final = "nix-store --repair-path PATH mends one; find out who changed it"
_HINT: Final = "the lines above are the builder's; `agentplane doctor` checks Nix itself"


class Nix:
    """The store and the kit of this host. Blocking; call it in a thread.

    `pull`: where paths that are not here come from; None: from the substituters that Nix is configured with.
    """

    def __init__(
        self, state_dir: Path, kit: Kit, *, timeout_s: float = _BUILD_TIMEOUT_S, pull: Pull | None = None
    ) -> None:
        self._state_dir = state_dir
        self._links = state_dir / "nix"
        self._kit = kit
        self._timeout_s = timeout_s
        self._pull = pull

    def add_tree(self, path: Path, name: str, exclude: frozenset[str] = frozenset()) -> StorePath:
        """Put a directory into the store, without entries named in `exclude`.

        Raises:
            Refused: codes `tree.*`: not a directory, or it holds what a store cannot.
            Broken: code `nix.add-failed`.
        """
        if not path.is_dir():
            raise Refused("it is not a directory", code="tree.type", where=str(path))
        if exclude:
            with tempfile.TemporaryDirectory(prefix="agentplane-tree-") as staging:
                copy = Path(staging) / "tree"
                _stage(path, copy, exclude)
                return self._add(copy, name)
        return self._add(path, name)

    def _add(self, path: Path, name: str) -> StorePath:
        pinned = nar_hash(path)
        link = self._link({"tree": pinned, "name": name})
        if (known := _linked(link)) is not None:
            return StorePath(path=known, nar_hash=pinned)
        argv = ["nix", "store", "add-path", "--name", name, str(path)]
        stored = run(argv, timeout_s=self._timeout_s, environment=environment(), code="nix.add-failed").text
        added = StorePath(path=stored, nar_hash=pinned)
        self.verify(added)
        self._root(stored, link)
        return added

    def verify(self, pinned: StorePath) -> None:
        """Check that a store path is there and hashes to what was pinned.

        Raises:
            NotFound: code `store.missing`.
            Tampered: code `store.hash`.
        """
        _check_path(pinned.path)
        if not Path(pinned.path).exists():
            raise NotFound(
                f"{pinned.path} is not in this host's store",
                code="store.missing",
                hint="copy it from a binary cache (nix copy --from …), or run where it was built",
            )
        found = nar_hash(Path(pinned.path))
        if found != pinned.nar_hash:
            raise Tampered(
                f"{pinned.path} hashes to {found}, pinned was {pinned.nar_hash}", code="store.hash", hint=_ALTERED
            )

    def verify_closure(self, path: str) -> None:
        """Check that a path and all it needs holds what was built here or signed. Raises as `closures`."""
        _check_path(path)
        verify_closure(path, self._links, environment())

    def fetch(self, pinned: StorePath) -> None:
        """Have a pinned path here: from this store, else from where `pull` has it, verified.

        Raises: NotFound, Tampered: as `verify`; and what `pull` raises.
        """
        _check_path(pinned.path)
        if self._pull is None:
            if not Path(pinned.path).exists():
                argv = ["nix-store", "--realise", pinned.path]
                run(argv, timeout_s=self._timeout_s, environment=environment(), check=False)
        elif _linked(link := self._link({"pulled": pinned.path})) != pinned.path:
            if not self._registered(pinned.path):
                self._pull(pinned)
            self._root(pinned.path, link)
        self.verify(pinned)

    def _registered(self, path: str) -> bool:
        """Whether it is here and whole; an import that was cut off leaves a path that is not registered."""
        argv = ["nix-store", "--check-validity", path]
        return Path(path).exists() and run(argv, timeout_s=60, environment=environment(), check=False).status == 0

    def build_guest(self, source: StorePath, name: str, module: str, smoke: str) -> StorePath:
        """The GuestSpec of a bundle. Raises Broken: code `nix.build-failed`, with the builder's last lines."""
        return self._build("spec", {"bundle": source.path, "name": name, "module": module, "smoke": smoke}, source)

    def build_process(self, source: StorePath, name: str, module: str, smoke: str) -> StorePath:
        """The ProcessSpec of a bundle. Raises as `build_guest`."""
        return self._build("process", {"bundle": source.path, "name": name, "module": module, "smoke": smoke}, source)

    def build_input_image(self, name: str, tree: StorePath) -> StorePath:
        """An input tree as a read-only disk. Raises as `build_guest`."""
        return self._build("input", {"name": name, "path": tree.path}, tree)

    def build_probe(self) -> StorePath:
        """The ProbeSpec of this kit. Raises as `build_guest`."""
        return self._build("probe", {}, None)

    def _build(self, attribute: str, arguments: Mapping[str, str], source: StorePath | None) -> StorePath:
        key = {
            "kit": self._kit.digest(),
            "attribute": attribute,
            **arguments,
            "hash": source.nar_hash if source else "",
        }
        link = self._link(key)
        record = link.with_suffix(".json")
        if (known := _linked(link)) is not None and record.exists():
            pinned = msgspec.json.decode(record.read_bytes(), type=StorePath)
            if pinned.path == known:
                return pinned
        by = builders(self._state_dir, network=self._kit.kernel_deb is None)
        run(
            [*by.prefix, *_nix_build(self._kit, attribute, arguments, source), "--out-link", str(link)],
            timeout_s=self._timeout_s,
            environment=environment(by.configuration),
            label=f"the Nix build of {arguments.get('name', attribute)}",
            code="nix.build-failed",
            hint=_HINT,
        )
        return _remember(link, record)

    def _link(self, key: Mapping[str, str]) -> Path:
        self._links.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._links / hashlib.sha256(canonical_bytes(dict(key))).hexdigest()[:32]

    def _root(self, path: str, link: Path) -> None:
        argv = ["nix-store", "--realise", path, "--add-root", str(link), "--indirect"]
        run(argv, timeout_s=self._timeout_s, environment=environment(), code="nix.add-failed")


def environment(building: Sequence[str] = ("build-users-group =",)) -> dict[str, str]:
    """What Nix's commands need here. `building`: lines of `builders`; the default is for what builds nothing.

    The caller's own NIX_CONFIG (a binary cache, its keys) is honoured, except in who builds and how sealed.
    """
    single = not has_daemon()
    lines = ["experimental-features = nix-command flakes", *(("substituters =",) if single else ())]
    lines += [os.environ.get("NIX_CONFIG", ""), *(building if single else ())]
    return {"NIX_CONFIG": "\n".join(line for line in lines if line) + "\n"}


def _nix_build(kit: Kit, attribute: str, arguments: Mapping[str, str], source: StorePath | None) -> list[str]:
    argv = ["nix-build", str(kit.root), "-A", attribute, "--option", "restrict-eval", "true", "-I", f"vm={kit.root}"]
    if source is not None:
        argv += ["-I", f"source={source.path}"]
    if kit.kernel_deb is not None:
        argv += ["-I", "usr=/usr", "-I", "dpkg=/var/lib/dpkg/info", "-I", f"kernel={kit.kernel_deb}"]
        arguments = {**arguments, "kernelDeb": str(kit.kernel_deb), "kernelSha256": kit.kernel_sha256 or ""}
    for name, value in arguments.items():
        argv += ["--argstr", name, value]
    return argv


def _linked(link: Path) -> str | None:
    """Where a remembered link leads, if that is still in the store."""
    try:
        target = link.readlink()
    except OSError:
        return None
    return str(target) if target.exists() else None


def _remember(link: Path, record: Path) -> StorePath:
    path = str(link.readlink())
    pinned = StorePath(path=path, nar_hash=nar_hash(Path(path)))
    temporary = record.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.encode(pinned))
    temporary.rename(record)
    return pinned


def _stage(path: Path, copy: Path, exclude: frozenset[str]) -> None:
    try:
        shutil.copytree(path, copy, symlinks=True, ignore=lambda _, names: exclude & set(names))
    except (OSError, shutil.Error) as exc:
        raise Broken(f"the tree cannot be copied: {exc}", code="nix.add-failed", where=str(path)) from exc


def _check_path(path: str) -> None:
    if not STORE_PATH.fullmatch(path):
        raise Refused(f"{path!r} is not a store path", code="store.path")
