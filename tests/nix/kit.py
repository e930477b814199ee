"""Calls the guest kit as an executor does: restricted evaluation, sandboxed build, one store path back."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

NIX_CONFIG = """experimental-features = nix-command flakes
build-users-group =
sandbox = true
sandbox-fallback = false
substituters =
"""


class BuildFailed(Exception):
    """Nix refused; its message."""


def fetch_kernel(root: Path) -> Path:
    """The kernel's Debian package. Raises OSError: it cannot be had."""
    done = subprocess.run(
        [root / "vm/fetch-kernel.sh", root / ".agentplane/kernel"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
    return Path(done.stdout.splitlines()[0])


class Kit:
    """vm/default.nix of a checkout, with a kernel package."""

    def __init__(self, root: Path, kernel_deb: Path) -> None:
        self.root = root
        self.kernel_deb = kernel_deb.resolve()
        self._environment = {**os.environ, "NIX_CONFIG": NIX_CONFIG}

    def build(self, attribute: str, *options: str, reading: Path | None = None, **arguments: object) -> Path:
        """The store path of an attribute; `reading` is the one directory of a caller that may be read.

        Raises:
            BuildFailed: Nix refused.
        """
        vm = self.root / "vm"
        allowed = {"vm": vm, "usr": "/usr", "dpkg": "/var/lib/dpkg/info", "kernel": self.kernel_deb}
        if reading is not None:
            allowed["bundle"] = reading
        search = [part for name, path in allowed.items() for part in ("-I", f"{name}={path}")]
        given = {"kernelDeb": self.kernel_deb, **arguments}
        strings = [part for name, value in given.items() for part in ("--argstr", name, str(value))]
        argv = ["nix-build", "--no-out-link", "--option", "restrict-eval", "true", *options]
        done = subprocess.run(
            [*argv, *search, str(vm), "-A", attribute, *strings],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
        )
        if done.returncode != 0:
            raise BuildFailed(done.stderr)
        return Path(done.stdout.strip())

    def spec(self, bundle: Path, name: str, **arguments: str) -> dict[str, Any]:
        """The description of a bundle's guest."""
        path = self.build("spec", reading=bundle, bundle=bundle, name=name, **arguments)
        return dict(json.loads(path.read_bytes()))

    def bundle(self, name: str) -> dict[str, Any]:
        """The description of one of this repository's bundles."""
        return self.spec(self.root / "bundles" / name, name)

    def input(self, tree: Path, **arguments: str) -> Path:
        """The image of an input tree."""
        return self.build("input", reading=tree, path=tree, **arguments)

    def nix_store(self, *arguments: str) -> str:
        """What nix-store prints."""
        done = subprocess.run(
            ["nix-store", *arguments], capture_output=True, text=True, check=True, env=self._environment
        )
        return done.stdout.strip()
