"""Which paths are needed and what caches say about them: the walk before anything is downloaded.

Every cache is asked in its order until one has a description that a trusted key signed. When none has, the gravest
complaint is what is told: a lie before a missing signature, that before a cache that is away, that before an absence.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from agentplane.caches.keys import PublicKey, verify
from agentplane.caches.narinfo import MAX_NARINFO_BYTES, NarInfo, narinfo_name, parse_narinfo
from agentplane.caches.reader import Cache
from agentplane.errors import AgentplaneError, Denied, NotFound, Refused, Tampered, Transient

_GRAVITY: Final = (Tampered, Refused, Denied, Transient, NotFound)

Missing = Callable[[Sequence[str]], Sequence[str]]  # of store paths, those that are not in our store
Complain = Callable[[AgentplaneError], None]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one closure may be."""

    paths: int = 5000
    total_bytes: int = 16 << 30


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A path, who has it, and whose signature makes that true."""

    info: NarInfo
    cache: Cache
    key: PublicKey


def find(path: str, caches: Sequence[Cache], trusted: Sequence[PublicKey], complain: Complain) -> tuple[Found, ...]:
    """Every cache's signed description of a path, at least one. `complain` hears of caches that failed.

    Raises: the gravest of `cache.*` when no cache has it.
    """
    found: list[Found] = []
    errors: list[AgentplaneError] = []
    for cache in caches:
        try:
            data = cache.get(narinfo_name(path), MAX_NARINFO_BYTES)
            info = parse_narinfo(data, path, cache.url)
            found.append(Found(info=info, cache=cache, key=verify(info, trusted, cache.url)))
        except AgentplaneError as error:
            errors.append(error)
            if not isinstance(error, NotFound):
                complain(error)
    if not found:
        raise gravest(errors, path)
    return tuple(found)


def closure(
    root: str,
    missing: Missing,
    describe: Callable[[str], tuple[Found, ...]],
    limits: Limits,
) -> dict[str, tuple[Found, ...]]:
    """What must be fetched for `root`, by path; nothing that is here already. Needed paths stand before their users.

    Raises:
        Refused: code `cache.too-large`: more paths or bytes than `limits`; and what `describe` raises.
    """
    needed: dict[str, tuple[Found, ...]] = {}
    seen, level, size = {root}, list(missing([root])), 0
    while level:
        following: set[str] = set()
        for path in level:
            needed[path] = described = describe(path)
            size += described[0].info.nar_size
            if len(needed) > limits.paths or size > limits.total_bytes:
                raise _too_large(root, limits)
            following |= set(described[0].info.references) - seen
        seen |= following
        level = list(missing(sorted(following))) if following else []
    return _sorted(root, needed)


def gravest(errors: Iterable[AgentplaneError], path: str) -> AgentplaneError:
    """What to tell when no cache could serve a path."""
    ranked = sorted(errors, key=_rank)
    if ranked:
        return ranked[0]
    return NotFound(
        f"{path} is not in this host's store, and no cache is configured",
        code="store.missing",
        hint="name caches and their keys in bundles.caches and bundles.trusted_public_keys, or run where it was built",
    )


def _rank(error: AgentplaneError) -> int:
    ranks = [rank for rank, kind in enumerate(_GRAVITY) if kind in type(error).__mro__]
    return min(ranks, default=len(_GRAVITY))


def _sorted(root: str, needed: dict[str, tuple[Found, ...]]) -> dict[str, tuple[Found, ...]]:
    """Each after what it refers to; by a stack of our own, since a cache decides how deep this goes."""
    done: dict[str, tuple[Found, ...]] = {}
    stack: list[tuple[str, bool]] = [(root, False)]
    entered: set[str] = set()
    while stack:
        path, references_done = stack.pop()
        if path not in needed or path in done:
            continue
        if references_done:
            done[path] = needed[path]
        elif path not in entered:
            entered.add(path)
            stack.append((path, True))
            stack += [(reference, False) for reference in needed[path][0].info.references if reference not in entered]
    return done


def _too_large(root: str, limits: Limits) -> Refused:
    return Refused(
        f"{root} needs more than {limits.paths} paths or {limits.total_bytes >> 20} MiB",
        code="cache.too-large",
        hint="if that is right, raise bundles.max_closure_mib",
    )
