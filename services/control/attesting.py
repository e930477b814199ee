"""Answers people who ask what control signs about their runs: which executors' keys counted when."""

from typing import Final

import msgspec

from agentplane.bus.subjects import tenant_of
from agentplane.controllers import attesting
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Broken, Refused
from agentplane.evidence.keys import Signer, TrustedKeys
from agentplane.intents.runs import run_stream
from agentplane.ports import Bus
from agentplane.queries import protocol as wire
from agentplane.queries.attestations import ExecutorKeysGet
from services.control.runtime import Runtime

log = get_logger()

SUBJECT: Final = "agentplane-attest.*.executor-keys"


class Attestor:
    """Answers on the bus until it is closed. The tenant is the subject's, which NATS permissions make true."""

    def __init__(self, runtime: Runtime, bus: Bus, declared: TrustedKeys, signer: Signer) -> None:
        """`declared`: the keys that configuration trusts."""
        self._runtime = runtime
        self._bus = bus
        self._declared = declared
        self._signer = signer

    async def open(self) -> None:
        """Answer from now on. Several control processes share the questions."""
        await self._bus.respond(SUBJECT, self.executor_keys, queue="control")

    async def executor_keys(self, subject: str, data: bytes) -> bytes:
        """The signed key history of a run; an error is an answer too. Never raises."""
        try:
            return wire.answered(msgspec.Raw(await self._executor_keys(tenant_of(subject), data)))
        except AgentplaneError as error:
            return wire.failed(error)
        except Exception:
            log.exception("no key history can be made", subject=subject)
            return wire.failed(Broken("control failed", code="query.broken", hint="its log says why"))

    async def _executor_keys(self, tenant: str, data: bytes) -> bytes:
        try:
            wish = msgspec.json.decode(data[: wire.MAX_REQUEST_BYTES], type=ExecutorKeysGet)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Refused(f"not a question: {exc}", code="query.malformed") from exc
        stream = await self._runtime.store.read_stream(run_stream(tenant, wish.run))
        await self._runtime.catch_up()  # afterwards: what the state says of keys is at least as new as the run's events
        return attesting.executor_keys(self._runtime.state, stream, self._declared, self._signer, self._runtime.now())
