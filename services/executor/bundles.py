"""Where this executor takes bundles from, whose signatures it believes, and which guest a run gets.

A run may pin a guest that somebody built, signed and pushed. It is taken only if it is of the bundle that the run is
about: its author chose the pin, and another bundle's guest, however well signed, was not what was approved.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Annotated, Final, Literal, Protocol, Self

from msgspec.structs import replace
from pydantic import AfterValidator, Field, model_validator

from agentplane.caches.closure import Limits
from agentplane.caches.keys import parse_public_key
from agentplane.caches.pull import Pulled, Sources, pull
from agentplane.caches.reader import Cache, check_url, open_cache
from agentplane.daemon.config import Seconds, Settings
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Broken, NotFound, Refused, Transient
from agentplane.guests.spec import STORE_PATH, parse_guest, parse_process
from agentplane.metrics.counters import counted_pull
from agentplane.runners.nix import Pull, environment
from agentplane.runs.model import StorePath
from agentplane.runs.protocol import Assignment

log = get_logger()

STAGING: Final = "staging"  # in the state directory
_NAR_HASH: Final = r"sha256:[0-9abcdfghijklmnpqrsvwxyz]{52}"


def _cache_url(value: str) -> str:
    try:
        return check_url(value)
    except Refused as exc:
        raise ValueError(f"{exc.message}: {exc.hint}") from None


def _public_key(value: str) -> str:
    try:
        return str(parse_public_key(value))
    except Refused as exc:
        raise ValueError(f"{exc.message} [{exc.code}]") from None


def _store_path(value: str) -> str:
    if not STORE_PATH.fullmatch(value) or value.count("/") != len(("nix", "store", "name")):
        raise ValueError("must be a store path: /nix/store/<hash>-<name>")
    return value


class PinnedPath(Settings):
    """A store path and its hash, as `agentplane bundle push` prints them."""

    path: Annotated[str, AfterValidator(_store_path)]  # of what is fetched before anybody asks for it
    nar_hash: Annotated[str, Field(pattern=f"^{_NAR_HASH}$")]  # `sha256:` and 52 characters, as Nix writes it


class Bundles(Settings):
    """Where guests and sources come from that are not in this host's store."""

    caches: Annotated[tuple[Annotated[str, AfterValidator(_cache_url)], ...], Field(max_length=16)] = ()  # in order
    trusted_public_keys: tuple[Annotated[str, AfterValidator(_public_key)], ...] = ()  # "name:base64"; no others count
    build: Literal["missing", "never"] = "missing"  # whether a guest that is not pinned, or nowhere, is built here
    patience_seconds: Seconds = 60  # how long a cache may be away before the run is given back to control
    max_closure_mib: Annotated[int, Field(ge=1, le=1 << 20)] = 16 << 10  # of one guest with all it needs
    prefetch: Annotated[tuple[PinnedPath, ...], Field(max_length=1000)] = ()  # what agentplane-prefetch fetches

    @model_validator(mode="after")
    def _caches_need_keys(self) -> Self:
        if self.caches and not self.trusted_public_keys:
            raise ValueError("caches without trusted_public_keys: nothing of them would be believed; name their keys")
        return self


def sources_of(bundles: Bundles) -> Sources:
    """The configured caches and keys."""
    return Sources(
        caches=tuple(open_cache(url) for url in bundles.caches),
        trusted=tuple(parse_public_key(key) for key in bundles.trusted_public_keys),
        limits=Limits(total_bytes=bundles.max_closure_mib << 20),
    )


class Stoppable:
    """A cache that is read no further once we stop; a long download would keep the daemon from ending."""

    def __init__(self, cache: Cache, stopping: Event) -> None:
        self.url = cache.url
        self._cache = cache
        self._stopping = stopping

    def get(self, name: str, limit_bytes: int) -> bytes:
        """See `Cache.get`."""
        return self._cache.get(name, limit_bytes)

    def chunks(self, name: str) -> Iterator[bytes]:
        """See `Cache.chunks`. Raises Transient: code `cache.stopped`."""
        for chunk in self._cache.chunks(name):
            if self._stopping.is_set():
                raise Transient("this executor stops", code="cache.stopped", where=self.url)
            yield chunk


def clear_staging(state_dir: Path) -> None:
    """Remove what a killed process left of downloads; only while nobody downloads."""
    shutil.rmtree(state_dir / STAGING, ignore_errors=True)


def puller(bundles: Bundles, state_dir: Path, stopping: Event | None = None) -> Pull | None:
    """What fetches a pinned path from the caches, until `stopping`; None: there are none."""
    if not bundles.caches:
        return None
    sources = sources_of(bundles)
    if stopping is not None:
        sources = replace(sources, caches=tuple(Stoppable(cache, stopping) for cache in sources.caches))

    def complain(error: AgentplaneError) -> None:
        log.warning("a cache failed", code=error.code, reason=str(error), hint=error.hint)

    def pull_one(pinned: StorePath) -> Pulled:
        log.info("pulling", path=pinned.path)
        with counted_pull() as came:
            pulled = pull(pinned, sources, state_dir / STAGING, environment(), complain=complain)
            came(pulled.nar_bytes)
        log.info("pulled", path=pinned.path, paths=pulled.paths, mib=pulled.nar_bytes >> 20)
        return pulled

    return pull_one


class Store(Protocol):
    """What choosing a guest needs of Nix; agentplane.runners.nix.Nix."""

    def fetch(self, pinned: StorePath) -> None:
        """Have a pinned path here."""
        ...

    def build_guest(self, source: StorePath, name: str, module: str, smoke: str) -> StorePath:
        """Build a virtual machine's guest."""
        ...

    def build_process(self, source: StorePath, name: str, module: str, smoke: str) -> StorePath:
        """Build a process's specification."""
        ...


def guest_of(assignment: Assignment, store: Store, bundles: Bundles) -> StorePath:
    """What to run: the very guest that ran (a replay), that which the run pinned, else that which is built here.

    Raises:
        Refused: `guest.other-bundle` (the pinned one is of another bundle), `bundle.not-built` (none is pinned, and
            this executor builds none).
        Broken: `nix.not-reproduced`: the pinned one is nowhere, and building gives another.
        NotFound, Tampered, Transient, Broken: as fetching and building.
    """
    ran, offered = _ran(assignment), _offered(assignment)
    pinned = ran or offered
    if pinned is not None:
        try:
            store.fetch(pinned)
        except NotFound:
            if bundles.build == "never":
                raise
        else:
            if ran is None:
                check_bundle(pinned, assignment)
            return pinned
    elif bundles.build == "never":
        hint = (
            "agentplane bundle push BUNDLE --to CACHE -o json > pushed.json; agentplane run BUNDLE --pushed pushed.json"
        )
        said = "the run pins no guest for this backend, and this executor builds none (bundles.build = never)"
        raise Refused(said, code="bundle.not-built", hint=hint)
    return _built(assignment, store, pinned)


def check_bundle(spec: StorePath, assignment: Assignment) -> None:
    """Raises Refused (`guest.other-bundle`) for a guest of another bundle, another version, another smoke script."""
    pins = assignment.pins
    parse = parse_process if assignment.backend == "process" else parse_guest
    guest = parse(Path(spec.path).read_bytes())
    said = (guest.name, guest.working_directory, guest.entry)
    if said != (_name(assignment), pins.source.path, f"{pins.source.path}/{pins.smoke}"):
        raise Refused(
            f"the pinned guest {spec.path} was not built of the bundle {pins.source.path}",
            code="guest.other-bundle",
            hint="push this very bundle, and run it with what that push printed",
        )


def _ran(assignment: Assignment) -> StorePath | None:
    ran = assignment.replay_guest
    return ran.spec if ran is not None and assignment.backend != "process" else None


def _offered(assignment: Assignment) -> StorePath | None:
    built = assignment.pins.built or ()
    return next((each.spec for each in built if each.backend == assignment.backend), None)


def _built(assignment: Assignment, store: Store, pinned: StorePath | None) -> StorePath:
    pins = assignment.pins
    build = store.build_process if assignment.backend == "process" else store.build_guest
    built = build(pins.source, _name(assignment), pins.module, pins.smoke)
    if pinned is not None and built != pinned:
        raise Broken(
            f"the pinned guest {pinned.path} ({pinned.nar_hash}) is not here, and building it again gives "
            f"{built.path} ({built.nar_hash})",
            code="nix.not-reproduced",
            hint="push the pinned guest from the host that has it (agentplane bundle push), or run it there",
        )
    return built


def _name(assignment: Assignment) -> str:
    return assignment.pins.bundle.partition("@")[0]
