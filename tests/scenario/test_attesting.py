"""Control, asked over the bus which keys counted: for whose runs it answers, and what its answer is worth."""

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.errors import NotFound, Refused
from agentplane.evidence.key_history import open_history
from agentplane.evidence.keys import TrustedKeys
from agentplane.queries.attestations import executor_keys
from services.control.attesting import Attestor
from tests.scenario.shell import AdversarialStore, Host, Shell, intent, publish
from tests.scenario.shell import stored as until
from tests.scenario.world import TENANT, signer_for

CONTROL = signer_for("control")
ONLY_CONTROL = TrustedKeys({"control": (CONTROL.public_key,)})


async def test_control_answers_for_the_tenants_own_runs() -> None:
    store, bus = AdversarialStore(), MemoryBus()
    shell = Shell(store, bus)
    executor = signer_for("executor/exec-1")
    declared = TrustedKeys({"control": (CONTROL.public_key,), executor.identity: (executor.public_key,)})
    async with shell.running():
        await Attestor(shell.runtime, bus, declared, CONTROL).open()
        host = Host(bus)
        wanted = intent()
        await publish(bus, wanted)
        host.work(await host.told(wanted.stream.name))
        for data in host.journal:
            await host.report(data)
        await host.committed(2)
        await until(store, "run.finished")
        run = wanted.stream.name
        signed = open_history(await executor_keys(bus, TENANT, run), ONLY_CONTROL)
        assert (signed.history.tenant, signed.history.run, len(signed.history.statements)) == (TENANT, run, 2)
        committed = [each.sequence for each in store._log if each.event.type == "run.evidence"]
        assert [each.sequence for each in signed.history.statements] == committed
        with pytest.raises(NotFound):
            await executor_keys(bus, "rival", run)
        with pytest.raises(NotFound):
            await executor_keys(bus, TENANT, "hello-none")
        with pytest.raises(Refused):
            await executor_keys(bus, TENANT, "x" * 70_000)
