"""An executor that waits for others is up, for whoever manages its service."""

import asyncio
from pathlib import Path

from agentplane.daemon.lifecycle import Lifecycle
from services.executor.config import ExecutorSettings
from services.executor.identity import load_identity
from services.executor.joining import Entrance


class Noted(Lifecycle):
    """What a service manager is told of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def waiting(self, status: str) -> None:
        self.told.put_nowait(status)


async def test_a_bus_that_is_away_does_not_make_the_start_fail(tmp_path: Path) -> None:
    settings = ExecutorSettings.model_validate(
        {
            "name": "exec-a",
            "state_dir": tmp_path,
            "nats": {"servers": ["nats://127.0.0.1:1"]},
            "control_public_key_file": tmp_path / "control.pub",
            "vm_kit": tmp_path,
        }
    )
    lifecycle = Noted()
    entering = asyncio.create_task(Entrance(settings, load_identity(settings), lifecycle).enter())
    async with asyncio.timeout(60):
        assert (await lifecycle.told.get()).startswith("the bus is away")
        lifecycle.stop("enough")
        assert await entering is None
