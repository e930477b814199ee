"""A pinned path with all it needs, from caches into this host's Nix store, or nothing of it at all.

Order: descriptions and signatures of the whole closure; then every archive to a staging directory, uncompressed and
hashed; only then Nix, which reads the staging directory as a cache, checks signatures and hashes again and registers.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agentplane.caches.closure import Complain, Found, Limits, closure, find, gravest
from agentplane.caches.download import save_nar
from agentplane.caches.keys import PublicKey
from agentplane.caches.narinfo import narinfo_name, staged_narinfo
from agentplane.caches.reader import Cache
from agentplane.errors import AgentplaneError, NotFound, Tampered, Transient
from agentplane.runners.command import run
from agentplane.runs.model import StorePath

_QUERY_TIMEOUT_S: Final = 60.0
_IMPORT_TIMEOUT_S: Final = 900.0


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What came."""

    paths: int
    nar_bytes: int


Progress = Callable[[int, int, Found], None]  # the how many-th of how many is about to be fetched


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where paths come from and whose word counts."""

    caches: tuple[Cache, ...]
    trusted: tuple[PublicKey, ...]
    limits: Limits = Limits()


def pull(
    pinned: StorePath,
    sources: Sources,
    staging: Path,
    environment: Mapping[str, str],
    *,
    store: str | None = None,
    complain: Complain = lambda _: None,
    progress: Progress = lambda _number, _of, _found: None,
) -> Pulled:
    """Fetch `pinned` and its closure. `store`: another store than the host's (`local?root=…`).

    Raises:
        NotFound: `store.missing` (no cache is configured), `cache.absent`.
        Refused: `cache.unsigned`, `cache.unknown-key`, `cache.narinfo`, `cache.compression`, `cache.too-large`.
        Denied: `cache.denied`.
        Tampered: `cache.signature`, `cache.nar-hash`, `cache.truncated`, `cache.oversized`, `cache.corrupt`; and
            `cache.pin`: it is signed, and is not what the run pinned.
        Transient: `cache.unreachable`, `cache.staging`.
        Broken: `cache.import`: Nix does not take it.
    """

    def describe(path: str) -> tuple[Found, ...]:
        found = find(path, sources.caches, sources.trusted, complain)
        return _as_pinned(found, pinned) if path == pinned.path else found

    needed = closure(pinned.path, lambda paths: missing(paths, environment, store), describe, sources.limits)
    if not needed:
        return Pulled(paths=0, nar_bytes=0)
    size = sum(found[0].info.nar_size for found in needed.values())
    work = _staging(staging, size)
    try:
        for number, (path, found) in enumerate(needed.items(), start=1):
            progress(number, len(needed), found[0])
            _stage(work, path, found, complain)
        _import(work, tuple(needed), sources.trusted, environment, store)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Pulled(paths=len(needed), nar_bytes=size)


def missing(paths: Sequence[str], environment: Mapping[str, str], store: str | None = None) -> tuple[str, ...]:
    """Of some store paths, those that Nix does not know. Raises Broken: code `cache.store`."""
    argv = ["nix-store", *_store(store), "--check-validity", "--print-invalid", *paths]
    return tuple(run(argv, timeout_s=_QUERY_TIMEOUT_S, environment=environment, code="cache.store").text.split())


def _as_pinned(found: tuple[Found, ...], pinned: StorePath) -> tuple[Found, ...]:
    """Of several descriptions those that are of what was pinned."""
    fitting = tuple(each for each in found if each.info.nar_hash == pinned.nar_hash)
    if not fitting:
        raise Tampered(
            f"{pinned.path} hashes to {found[0].info.nar_hash} there, pinned was {pinned.nar_hash}",
            code="cache.pin",
            where=found[0].cache.url,
            hint="it was built again and came out otherwise, or somebody replaced it; push what the run pinned",
        )
    return fitting


def _staging(directory: Path, size_bytes: int) -> Path:
    """A new directory for one pull. Raises Transient: code `cache.staging`."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
        work = Path(tempfile.mkdtemp(prefix="pull-", dir=directory))
        (work / "nar").mkdir()
        (work / "nix-cache-info").write_text("StoreDir: /nix/store\n")
    except OSError as exc:
        said = f"nothing can be downloaded to: {exc.strerror}"
        raise Transient(said, code="cache.staging", where=str(directory), delay_s=5.0, hint="repair its disk") from exc
    if free < size_bytes:
        shutil.rmtree(work, ignore_errors=True)
        said = f"{free >> 20} MiB are free, {size_bytes >> 20} MiB are needed"
        raise Transient(said, code="cache.staging", where=str(directory), delay_s=5.0, hint="make room there")
    return work


def _stage(work: Path, path: str, found: tuple[Found, ...], complain: Complain) -> None:
    """Download one path from the first cache that sends what was signed."""
    errors: list[AgentplaneError] = []
    name = narinfo_name(path)
    for each in found:
        url = f"nar/{name.removesuffix('.narinfo')}.nar"
        try:
            save_nar(each.cache.chunks(each.info.url), each.info, work / url, each.cache.url)
        except AgentplaneError as error:
            errors.append(error)
            if not isinstance(error, NotFound):
                complain(error)
            continue
        (work / name).write_text(staged_narinfo(each.info, url))
        return
    raise gravest(errors, path)


def _import(
    work: Path, paths: Sequence[str], trusted: Sequence[PublicKey], environment: Mapping[str, str], store: str | None
) -> None:
    keys = " ".join(map(str, trusted))
    argv = ["nix", "copy", "--from", work.absolute().as_uri(), *(("--to", store) if store else ())]
    argv += ["--option", "require-sigs", "true", "--option", "trusted-public-keys", keys]
    argv += ["--no-recursive", *paths]  # what else they need is here
    run(
        argv,
        timeout_s=_IMPORT_TIMEOUT_S,
        environment=environment,
        label=f"Nix's import of {paths[-1]}",
        code="cache.import",
        hint="where Nix has a daemon, it must trust the same keys: trusted-public-keys in /etc/nix/nix.conf "
        "(NixOS: nix.settings.trusted-public-keys)",
    )


def _store(store: str | None) -> tuple[str, ...]:
    return ("--store", store) if store else ()
