"""Paths in bundles: untrusted strings to normalised relative paths. Pure.

The seeds write paths from their repository's root (`bundles/<name>/smoke.sh`). Here a bundle may lie anywhere, so a
path is taken relative to the bundle's directory, and where nothing is there, without its first `bundles/<any>/`.
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Final

from agentplane.runs.model import FileFact

MAX_LENGTH: Final = 255
_PREFIX: Final = "bundles"
_MIN_PARTS: Final = 3  # bundles/<any>/<rest>


def relative(path: str) -> str | None:
    """The normalised form of a path that stays below its base: `./a//b` is `a/b`, the base itself is `.`.

    None: absolute, leads out, too long, or holds a control character or a backslash.
    """
    if not path or len(path) > MAX_LENGTH or path.startswith("/") or "\\" in path or not path.isprintable():
        return None
    normal = posixpath.normpath(path)
    return None if normal == ".." or normal.startswith("../") else normal


def candidates(path: str) -> tuple[str, ...]:
    """Where a path of a bundle may be, relative to its directory, most literal first; empty when it leads out."""
    normal = relative(path)
    if normal is None:
        return ()
    parts = normal.split("/")
    if parts[0] == _PREFIX and len(parts) >= _MIN_PARTS:
        return (normal, "/".join(parts[2:]))
    return (normal,)


def find(path: str, files: Mapping[str, FileFact]) -> FileFact:
    """The file that a path of the bundle means: the first candidate that exists, else a fact that says "missing"."""
    options = candidates(path)
    for option in options:
        if option in files and files[option].type != "missing":
            return files[option]
    return FileFact(path=options[-1] if options else path, type="missing", executable=False, size_bytes=0)


def out_dir(path: str) -> str | None:
    """The artifact directory relative to the run's directory; None where it leaves that, or is that itself."""
    normal = relative(path)
    return None if normal == "." else normal


def wanted(document: object) -> Sequence[str]:
    """Every path that the rules will ask about, as candidates, from a document that may be anything."""
    asked = [_dig(document, "spec", "vm", "modulePath"), _dig(document, "spec", "smoke", "script")]
    mounts = _dig(document, "spec", "vm", "mounts")
    asked += [_dig(mount, "source") for mount in mounts] if isinstance(mounts, list) else []
    found = {option: None for path in asked if isinstance(path, str) for option in candidates(path)}
    return tuple(found)


def _dig(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
