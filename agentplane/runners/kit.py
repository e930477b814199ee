"""Where the guest kit (vm/) and its kernel package are on this host."""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from agentplane.errors import Broken
from agentplane.runners.command import run
from agentplane.runners.nar import nar_hash

_FETCH_TIMEOUT_S: Final = 600.0


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """The kit's directory, and the kernel package where guests are made of Debian packages (None: of nixpkgs)."""

    root: Path
    kernel_deb: Path | None = None
    kernel_sha256: str | None = None

    def digest(self) -> str:
        """What decides, beside the bundle, what a build yields."""
        return f"{nar_hash(self.root)} {self.kernel_sha256} {_packages_stamp() if self.kernel_deb else ''}"


def find_kit(state_dir: Path, environment: Mapping[str, str] = os.environ) -> Kit:
    """The kit to build with; fetches the kernel package once where it is needed.

    Raises:
        Broken: code `kit.missing`, or `kit.kernel` (it cannot be fetched).
    """
    root = _root(environment)
    if shutil.which("apt-get") is None or "nixpkgs" in environment.get("NIX_PATH", ""):
        return Kit(root=root)
    if (kernel := _installed()) is not None:
        with kernel.open("rb") as file:
            return Kit(root=root, kernel_deb=kernel, kernel_sha256=hashlib.file_digest(file, "sha256").hexdigest())
    deb, sha256 = _kernel(root, state_dir / "kernel")
    return Kit(root=root, kernel_deb=Path(deb), kernel_sha256=sha256)


def _root(environment: Mapping[str, str]) -> Path:
    source_tree = Path(__file__).resolve().parents[2] / "vm"
    installed = _share() / "vm"
    chosen = environment.get("AGENTPLANE_VM_KIT")
    candidates = [Path(chosen)] if chosen else [source_tree, installed]
    for candidate in candidates:
        if (candidate / "default.nix").is_file():
            return candidate.resolve()
    raise Broken(
        f"no guest kit in {' or '.join(map(str, candidates))}",
        code="kit.missing",
        hint="set AGENTPLANE_VM_KIT to the vm/ directory of this version",
    )


def _installed() -> Path | None:
    """The kernel package that scripts/install-debian.sh brought: hosts need not reach an archive of Debian's."""
    return next(iter(sorted(_share().glob("kernel/*.deb"), reverse=True)), None)


def _share() -> Path:
    return Path(sys.prefix) / "share" / "agentplane"


def _kernel(root: Path, directory: Path) -> tuple[str, str]:
    """Path and sha256 of the kernel package, remembered once it is there."""
    record = directory / "kernel.txt"
    if record.exists():
        deb, sha256 = record.read_text().split("\n")[:2]
        if Path(deb).is_file():
            return deb, sha256
    argv = ["sh", str(root / "fetch-kernel.sh"), str(directory)]
    text = run(argv, timeout_s=_FETCH_TIMEOUT_S, code="kit.kernel", hint="apt-get update, then again").text
    deb, sha256 = text.split("\n")[:2]
    record.write_text(f"{deb}\n{sha256}\n")
    return deb, sha256


def _packages_stamp() -> str:
    """Changes when dpkg does: guests hold files of installed packages."""
    return str(Path("/var/lib/dpkg/status").stat().st_mtime_ns)
