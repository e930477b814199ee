"""Whether a cache has some paths with all they need, signed by whom one trusts; with `contents`, byte by byte."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agentplane.caches.closure import Found, Limits, closure, find
from agentplane.caches.download import save_nar
from agentplane.caches.keys import PublicKey
from agentplane.caches.reader import Cache, open_cache
from agentplane.errors import Refused
from agentplane.guests.spec import STORE_PATH

_INFO: Final = "nix-cache-info"
_MAX_INFO_BYTES: Final = 16 << 10
_LIMITS: Final = Limits(paths=100_000, total_bytes=1 << 42)

Progress = Callable[[int, int, str], None]


class Checked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One path that is as it should be."""

    path: str
    nar_bytes: int
    signed_by: str


def check_cache(
    url: str,
    roots: Sequence[str],
    trusted: Sequence[PublicKey],
    *,
    contents: bool = False,
    progress: Progress = lambda _number, _of, _path: None,
) -> tuple[Checked, ...]:
    """Check the cache itself, then each root and all it needs. Raises what a pull would (`cache.*`)."""
    cache = open_cache(url)
    _check_info(cache)
    found: dict[str, tuple[Found, ...]] = {}

    def lacking(paths: Sequence[str]) -> Sequence[str]:
        return [path for path in paths if path not in found]

    def describe(path: str) -> tuple[Found, ...]:
        return find(path, (cache,), trusted, lambda _: None)

    for root in roots:
        if not STORE_PATH.fullmatch(root):
            raise Refused(f"{root!r} is not a store path", code="store.path")
        found |= closure(root, lacking, describe, _LIMITS)
    if contents:
        for number, (path, (each, *_)) in enumerate(found.items(), start=1):
            progress(number, len(found), path)
            with tempfile.TemporaryDirectory(prefix="agentplane-check-") as directory:
                save_nar(cache.chunks(each.info.url), each.info, Path(directory) / "nar", cache.url)
    return tuple(
        Checked(path=path, nar_bytes=each.info.nar_size, signed_by=each.key.name) for path, (each, *_) in found.items()
    )


def _check_info(cache: Cache) -> None:
    lines = cache.get(_INFO, _MAX_INFO_BYTES).decode("utf-8", "replace").splitlines()
    stores = [line.partition(":")[2].strip() for line in lines if line.startswith("StoreDir:")]
    if stores != ["/nix/store"]:
        hint = "its nix-cache-info must say StoreDir: /nix/store"
        raise Refused("it is not a cache of /nix/store", code="cache.info", where=cache.url, hint=hint)
