"""What all attempts of a host share."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

import msgspec

from agentplane.clock import Clock
from agentplane.evidence.keys import TrustedKeys
from services.executor.console import Console
from services.executor.host import Host
from services.executor.ledger import Ledger
from services.executor.planning import PlanCaps

T = TypeVar("T")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Given to every attempt."""

    executor: str
    key_id: str  # of the key that this executor signs with
    host: Host
    ledger: Ledger
    console: Console
    trusted: TrustedKeys  # control's keys
    secrets_dir: Path | None
    caps: PlanCaps
    clock: Clock
    workers: Executor  # for calls that take long: Nix, unpacking
    patience_s: float  # how long caches may be away
    changed: Callable[[], None]  # something that a heartbeat should tell

    async def blocking(self, call: Callable[..., T], *arguments: object) -> T:
        """Run a call that blocks without blocking the daemon."""
        return await asyncio.get_running_loop().run_in_executor(self.workers, call, *arguments)
