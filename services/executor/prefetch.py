"""`agentplane-prefetch --config FILE [--check-config]`: guests into this host's store before a run asks for them.

Takes what the configuration lists (bundles.prefetch), and what this executor has run of late, if a cache has it. The
same door as for a run: signatures, sizes and hashes, or nothing. Runs beside the executor, and never touches its files.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from agentplane import __version__
from agentplane.daemon.config import load_settings
from agentplane.daemon.logs import configure, get_logger
from agentplane.errors import AgentplaneError, NotFound, Refused
from agentplane.runners.kit import Kit
from agentplane.runners.nix import Nix
from agentplane.runs.model import StorePath
from services.executor.bundles import Bundles, clear_staging, puller
from services.executor.config import ExecutorSettings
from services.executor.runstate import RunRecord

log = get_logger()

_NAME: Final = "agentplane-prefetch"
_RECENT: Final = 50  # runs
_MAX_RECORD_BYTES: Final = 16 << 20


class Counts(msgspec.Struct, kw_only=True):
    """How a pass went."""

    here: int = 0
    fetched: int = 0
    absent: int = 0  # of recent runs only: nobody ever pushed what was built here
    failed: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """One pass; the exit status is that of the first failure (agentplane.errors), 0 when there is none."""
    options = _parser().parse_args(argv)
    try:
        settings = load_settings(options.config, ExecutorSettings)
        if options.check_config:
            print(f"{_NAME}: {options.config} is valid", file=sys.stderr)  # noqa: T201 - the answer
            return 0
        configure(_NAME, options.log_level)
        return prefetch(settings, options.state_dir or settings.state_dir / "prefetch")
    except AgentplaneError as error:
        print(f"{_NAME}: {error.code}: {error}", file=sys.stderr)  # noqa: T201 - people read stderr
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)  # noqa: T201
        return error.exit_status


def prefetch(settings: ExecutorSettings, state_dir: Path) -> int:
    """Fetch everything that is wanted; one failure does not keep the others. Answers the exit status.

    Raises:
        Refused: code `prefetch.no-caches`: paths are listed, and there is no cache to have them from.
    """
    nix = _nix(settings.bundles, state_dir)
    clear_staging(state_dir)
    listed = tuple(StorePath(path=each.path, nar_hash=each.nar_hash) for each in settings.bundles.prefetch)
    wanted = dict.fromkeys(listed)
    wanted |= dict.fromkeys(recent(settings.state_dir))
    counts, status = Counts(), 0
    for number, pinned in enumerate(wanted, start=1):
        failure = _one(nix, pinned, counts, f"{number}/{len(wanted)}", listed=pinned in listed)
        status = status or failure
    let_go(state_dir / "nix", {pinned.path for pinned in wanted})
    log.info("prefetched", wanted=len(wanted), **msgspec.to_builtins(counts))
    return status


def recent(state_dir: Path) -> tuple[StorePath, ...]:
    """The guests of this executor's last runs, newest first; none where they cannot be read."""
    return tuple(dict.fromkeys(islice(_specs(state_dir), _RECENT)))


def let_go(roots: Path, wanted: set[str]) -> None:
    """Drop the garbage collector's roots of what is wanted no more."""
    for link in roots.iterdir() if roots.is_dir() else ():
        if link.is_symlink() and str(link.readlink()) not in wanted:
            link.unlink()


def _nix(bundles: Bundles, state_dir: Path) -> Nix:
    pull = puller(bundles, state_dir)
    if pull is None and bundles.prefetch:
        hint = "name caches and their keys: bundles.caches, bundles.trusted_public_keys"
        raise Refused("there is no cache to fetch from", code="prefetch.no-caches", hint=hint)
    return Nix(state_dir, Kit(root=state_dir), pull=pull or _nowhere)  # builds nothing: the kit is never looked at


def _nowhere(pinned: StorePath) -> None:
    raise NotFound(f"{pinned.path} is not here, and no cache is configured", code="store.missing")


def _one(nix: Nix, pinned: StorePath, counts: Counts, number: str, *, listed: bool) -> int:
    before = Path(pinned.path).exists()
    try:
        nix.fetch(pinned)
        nix.verify_closure(pinned.path)
    except AgentplaneError as error:
        if isinstance(error, NotFound) and not listed:
            counts.absent += 1
            return 0
        counts.failed += 1
        log.warning("not fetched", number=number, path=pinned.path, code=error.code, reason=str(error), hint=error.hint)
        return error.exit_status
    counts.here += before
    counts.fetched += not before
    log.info("here already" if before else "fetched", number=number, path=pinned.path)
    return 0


def _specs(state_dir: Path) -> Iterator[StorePath]:
    try:
        records = sorted((state_dir / "runs").glob("*/*/*/state.json"), key=_written, reverse=True)
    except OSError as exc:
        log.warning("recent runs cannot be looked at", path=str(state_dir), reason=exc.strerror)
        return
    for path in records:
        try:
            with path.open("rb") as file:
                record = msgspec.json.decode(file.read(_MAX_RECORD_BYTES), type=RunRecord)
        except (OSError, msgspec.DecodeError):  # forgotten meanwhile, or the executor's to complain about
            continue
        if record.prepared is not None:
            yield record.prepared.spec


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_NAME, description="Fetches guests before runs ask for them.")
    parser.add_argument("--config", type=Path, required=True, help="the executor's JSON configuration file")
    parser.add_argument("--check-config", action="store_true", help="only check it; names every wrong field")
    parser.add_argument("--state-dir", type=Path, help="for downloads and roots [default: <state_dir>/prefetch]")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


if __name__ == "__main__":
    sys.exit(main())
