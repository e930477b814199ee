"""What `--input NAME=PATH` means: a directory, put into the Nix store as it is, or as git sees it."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agentplane.errors import Refused
from agentplane.ids import DNS_LABEL

if TYPE_CHECKING:
    from agentplane.runners.nix import Nix
    from agentplane.runs.model import Input, StorePath

MAX_INPUTS = 8


def author_store() -> "Nix":
    """The Nix store as an author uses it; what was added before is remembered in the user's cache."""
    from agentplane.runners.kit import Kit
    from agentplane.runners.nix import Nix

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentplane"
    return Nix(cache, Kit(root=cache))  # authors build nothing, so the kit is never looked at


def parse_inputs(words: tuple[str, ...]) -> dict[str, Path]:
    """`("tree=./src",)` as `{"tree": Path("./src")}`. Raises Refused (`input.*`)."""
    inputs: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not DNS_LABEL.fullmatch(name):
            hint = "write --input NAME=PATH; NAME has lower-case letters, digits and '-'"
            raise Refused(f"{word!r} is not an input", code="input.form", hint=hint)
        if name in inputs:
            raise Refused(f"input {name!r} is given twice", code="input.twice")
        if not os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir it does not raise for a long name
            raise Refused("not a directory", code="input.not-a-directory", where=path)
        inputs[name] = Path(path)
    if len(inputs) > MAX_INPUTS:
        raise Refused(f"{len(inputs)} inputs; a guest has room for {MAX_INPUTS}", code="input.too-many")
    return inputs


def add_input(nix: "Nix", name: str, path: Path) -> "Input":
    """Put an input into the store. Of a git work tree only what git would track: no build results, no secrets."""
    from agentplane.runs.model import Input

    files = _git_files(path)
    if files is None:
        return Input(name=name, tree=nix.add_tree(path, f"input-{name}"))
    with tempfile.TemporaryDirectory(prefix="agentplane-input-") as staging:
        return Input(name=name, tree=_add_staged(nix, name, path, files, Path(staging) / "tree"))


def _add_staged(nix: "Nix", name: str, path: Path, files: list[str], staging: Path) -> "StorePath":
    for file in files:
        source, target = path / file, staging / file
        if source.is_symlink() or source.is_file():  # a deleted file is still listed; a submodule is a directory
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    staging.mkdir(exist_ok=True)
    return nix.add_tree(staging, f"input-{name}")


def _git_files(path: Path) -> list[str] | None:
    """What git tracks or would track below `path`; None when that is no work tree."""
    argv = ["git", "-C", str(path), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."]
    try:
        done = subprocess.run(argv, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    if done.returncode != 0:
        return None
    return [name for name in re.split("\0", done.stdout.decode("utf-8", "surrogateescape")) if name]
