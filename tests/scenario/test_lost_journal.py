"""An executor whose journal is behind what is committed of it is refused, and does not pass for alive either."""

from datetime import timedelta

import msgspec

from agentplane.bus import subjects
from agentplane.bus.memory import MemoryBus
from tests.scenario.shell import AdversarialStore, Host, Moment, Shell, intent, publish, stored

SILENCE = timedelta(seconds=31)  # longer than a lease


async def test_heartbeats_that_contradict_the_journal_keep_no_lease_alive() -> None:
    store, bus, clock = AdversarialStore(), MemoryBus(), Moment()
    host = Host(bus)
    async with Shell(store, bus, clock).running() as shell:
        await publish(bus, intent())
        host.work(await host.told(intent().stream.name))
        for data in host.journal:
            await host.report(data)
        await host.committed(2)
        await stored(store, "run.finished")
        restored = Host(bus)  # the same name and key, nothing in its journal
        replies = [await restored.beat() for _ in range(4)]
        assert replies[-1].code == "executor.journal"
        clock.time += SILENCE
        # as every control process hears it, whoever answers
        shell.vigil.notice(subjects.heartbeat("exec-1"), msgspec.json.encode(restored.executor.heartbeat()))
        await shell.vigil.check()
        assert "executor.unreachable" in store.types()
        shell.vigil.notice(subjects.heartbeat("exec-1"), msgspec.json.encode(host.executor.heartbeat()))
        assert shell.vigil.heard("exec-1") == clock.time
