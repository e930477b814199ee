"""A bundle's directory as it is on disk: the only I/O of this package. Follows no link that leads out."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agentplane.bundles.paths import wanted
from agentplane.documents.edge import read_document
from agentplane.documents.limits import check_size
from agentplane.documents.model import Document
from agentplane.errors import Refused
from agentplane.runs.model import FileFact

NAMES: Final = ("bundle.json", "bundle.yaml", "bundle.yml")
MAX_ENTRIES: Final = 50_000
MAX_LINKS: Final = 40  # as the kernel has it


def inspect(path: Path) -> tuple[Document, tuple[FileFact, ...], Path]:
    """Read a bundle and look at its files.

    Args:
        path: the bundle's directory, or its document in it.

    Returns:
        The document; facts of every file that the rules ask about and of everything that must not be there (links
        that lead out, FIFOs, sockets, devices), by path; the absolute directory, its own links resolved.

    Raises:
        Refused: `document.*`, `bundle.no-document`, `bundle.two-documents`, `bundle.too-many-files` or
            `bundle.unreadable`.
    """
    document = read_document(_document_path(path))
    check_size(document.value, document.origin)
    directory = Path(os.path.realpath(Path(document.origin).parent))
    facts = {name: _fact(directory, name) for name in wanted(document.value)}
    try:
        facts.update({fact.path: fact for fact in _intruders(directory)})
    except OSError as exc:
        hint = "Make the directory readable for this user."
        raise Refused(f"cannot be read: {exc}", code="bundle.unreadable", where=str(directory), hint=hint) from exc
    return document, tuple(facts[name] for name in sorted(facts)), directory


def _document_path(path: Path) -> Path:
    if not os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir it does not raise for a name that is too long
        return path
    found = [path / name for name in NAMES if os.path.lexists(path / name)]
    if not found:
        hint = f"Expected one of {', '.join(NAMES)} in it."
        raise Refused("no bundle document in this directory", code="bundle.no-document", where=str(path), hint=hint)
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise Refused(f"has both {names}", code="bundle.two-documents", where=str(path), hint="Keep one.")
    return found[0]


def _intruders(directory: Path) -> Iterator[FileFact]:
    """Facts of what no bundle may hold."""
    seen = 0
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(directory / below) as entries:
            for entry in entries:
                seen += 1
                if seen > MAX_ENTRIES:
                    hint = "A bundle is small; give bulk data as an input tree."
                    message = f"more than {MAX_ENTRIES} entries"
                    raise Refused(message, code="bundle.too-many-files", where=str(directory), hint=hint)
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name)
                elif not entry.is_file(follow_symlinks=False):
                    fact = _fact(directory, name)
                    if fact.type in {"symlink", "other"}:
                        yield fact


def _fact(directory: Path, name: str) -> FileFact:
    """A path's fact: links are resolved while they stay inside; one that does not is a "symlink"."""
    resolved = _resolve(directory, name)
    if resolved is None:
        return FileFact(path=name, type="symlink", executable=False, size_bytes=0)
    try:
        status = os.lstat(directory / resolved)
    except (OSError, ValueError):
        return FileFact(path=name, type="missing" if resolved == name else "symlink", executable=False, size_bytes=0)
    kind = {stat.S_IFREG: "regular", stat.S_IFDIR: "directory"}.get(stat.S_IFMT(status.st_mode), "other")
    return FileFact(path=name, type=kind, executable=bool(status.st_mode & 0o100), size_bytes=status.st_size)


def _resolve(directory: Path, name: str) -> str | None:
    """A relative path without links, or None where a link is absolute, climbs out, or never ends.

    An absolute link is refused even when it leads inside: in the Nix store the bundle lies elsewhere.
    """
    pending, links = name.split("/")[::-1], 0
    done: list[str] = []
    while pending:
        step = pending.pop()
        if step in {"", "."}:
            continue
        if step == "..":
            if not done:
                return None
            done.pop()
            continue
        done.append(step)
        try:
            target = str(directory.joinpath(*done).readlink())
        except (OSError, ValueError):
            continue  # not a link, or not there
        links += 1
        if target.startswith("/") or links > MAX_LINKS:
            return None
        done.pop()
        pending += target.split("/")[::-1]
    return "/".join(done) or "."
