"""Store paths with all they need, signed, into a binary cache; and proof that it can be read there as it should.

The secret key stays in its file: Nix is told where it is.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from agentplane.caches.closure import find
from agentplane.caches.keys import PublicKey, public_part
from agentplane.caches.reader import check_url, open_cache
from agentplane.errors import NotFound, Refused, Transient
from agentplane.runners.command import run

_QUERY_TIMEOUT_S: Final = 60.0
_COPY_TIMEOUT_S: Final = 1800.0
_MAX_KEY_BYTES: Final = 4096
_COMPRESSION: Final = "compression=xz&compression-level=1&parallel-compression=true"  # higher levels take minutes

Progress = Callable[[int, int, str], None]  # the how many-th of how many is about to be copied


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did."""

    paths: int  # of all closures
    copied: int  # of them, those that the cache did not have, signed by this key
    key: PublicKey


def load_public_part(key_file: Path) -> PublicKey:
    """The public half of a secret key file.

    Raises:
        Refused: `cache.key` (malformed), `cache.key-file` (not readable, or readable by others).
    """
    try:
        with key_file.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_KEY_BYTES).decode("ascii", "replace")
    except OSError as exc:
        hint = "agentplane cache key NAME --to FILE makes one"
        said = f"the key cannot be read: {exc.strerror}"
        raise Refused(said, code="cache.key-file", where=str(key_file), hint=hint) from exc
    if mode & 0o077:
        said = f"others may read this secret key (mode {mode & 0o777:04o})"
        raise Refused(said, code="cache.key-file", where=str(key_file), hint=f"chmod 0400 {key_file}")
    return public_part(text)


def push(
    roots: Sequence[str],
    url: str,
    key_file: Path,
    environment: Mapping[str, str],
    *,
    store: str | None = None,
    progress: Progress = lambda _number, _of, _path: None,
) -> Copied:
    """Sign and copy `roots` with their closures to the cache at `url` (file or http), then read them back.

    `store`: another store than the host's, from which they are taken.

    Raises:
        Refused: `cache.url`, `cache.key`, `cache.key-file`.
        Broken: `cache.push`: Nix could not copy or sign, with its last lines.
        Transient, Tampered: the cache does not show what was pushed (`cache.*`).
    """
    key = load_public_part(key_file)
    where = check_url(url)
    listed = run(
        ["nix-store", *(("--store", store) if store else ()), "--query", "--requisites", *roots],
        timeout_s=_QUERY_TIMEOUT_S,
        environment=environment,
        code="cache.push",
    )
    paths = tuple(dict.fromkeys(listed.text.split()))  # dependencies first
    lacking = tuple(path for path in paths if not _is_there(path, where, key))
    for number, path in enumerate(lacking, start=1):
        progress(number, len(lacking), path)
        _copy(path, where, key_file, environment, store)
    for path in lacking:
        if not _is_there(path, where, key):  # it was there, signed by others only
            _sign(path, where, key_file, environment)
            find(path, (open_cache(where),), (key,), lambda _: None)
    return Copied(paths=len(paths), copied=len(lacking), key=key)


def _is_there(path: str, url: str, key: PublicKey) -> bool:
    try:
        find(path, (open_cache(url),), (key,), lambda _: None)
    except (NotFound, Refused):
        return False
    except Transient:
        if url.startswith("file:"):  # a directory that Nix will make
            return False
        raise
    return True


def _copy(path: str, url: str, key_file: Path, environment: Mapping[str, str], store: str | None) -> None:
    target = f"{url}?secret-key={quote(str(key_file.absolute()))}&{_COMPRESSION}"
    source = ("--from", store) if store else ()
    _nix(["nix", "copy", "--no-recursive", *source, "--to", target, path], "copy", path, environment)


def _sign(path: str, url: str, key_file: Path, environment: Mapping[str, str]) -> None:
    argv = ["nix", "store", "sign", "--store", url, "--key-file", str(key_file.absolute()), path]
    _nix(argv, "signature", path, environment)


def _nix(argv: Sequence[str], what: str, path: str, environment: Mapping[str, str]) -> None:
    hint = "may this user write to the cache? a cache behind http must take PUT"
    label = f"Nix's {what} of {path}"
    run(argv, timeout_s=_COPY_TIMEOUT_S, environment=environment, label=label, code="cache.push", hint=hint)
