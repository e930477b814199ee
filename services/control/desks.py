"""What is done with each kind of message: the controllers' decisions, stored. Every failure is said by raising.

A desk raises TooEarly (deliver it again later), Transient (the same), or Refused (it can never be taken).
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agentplane.bus import subjects
from agentplane.controllers import cancels, intents, reports, runs
from agentplane.controllers.decision import Decision
from agentplane.controllers.records import RunKey, RunRecord
from agentplane.controllers.reports import Rejection
from agentplane.controllers.run_fold import fold_run
from agentplane.controllers.runs import Office
from agentplane.controllers.state import ControlState
from agentplane.daemon.logs import get_logger
from agentplane.domains import deadletters
from agentplane.domains.deadletters import RETRY_REQUESTED
from agentplane.domains.registry import Registry
from agentplane.domains.resource import INTENTS as RESOURCES
from agentplane.errors import Refused, Transient
from agentplane.events.codec import payload
from agentplane.events.model import Event
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.report import Report
from agentplane.imports.model import IMPORT_REQUESTED
from agentplane.intents.executors import is_wish
from agentplane.intents.runs import CANCEL_REQUESTED, run_stream
from agentplane.ports import Message
from agentplane.runs.model import RunRequested
from services.control.imports import ImportDesk
from services.control.intake import TooEarly
from services.control.memberships import MembershipDesk
from services.control.repeats import stored_before
from services.control.resources import ResourceDesk
from services.control.runtime import Runtime

log = get_logger()

# A wish to cancel may overtake the wish to run: they are handled side by side.
_PATIENCE_DELIVERIES: Final = 5
_TURNS: Final = 5
_TURN_S: Final = 0.1
UNTRUSTED: Final = "evidence.untrusted-key"


class IntentDesk:
    """Takes the wishes of people."""

    def __init__(
        self,
        runtime: Runtime,
        office: Office,
        tenants: Collection[str],
        registry: Registry | None = None,
        *,
        memberships: MembershipDesk | None = None,
    ) -> None:
        """`registry`: the kinds of resources that may be wished for; None: only runs.

        `memberships`: of executors; None: nobody may say who they are.
        """
        self._memberships = memberships
        self._kinds = frozenset(registry.kinds) if registry else frozenset[str]()
        self._resources = ResourceDesk(runtime, registry or Registry(()))
        self._imports = ImportDesk(runtime, registry or Registry(()))
        self._runtime = runtime
        self._office = office
        self._tenants = tenants

    async def act(self, message: Message) -> None:
        """Store what follows from an intent."""
        if self._memberships is not None and is_wish(message.subject):
            await self._memberships.act(message)
            return
        event = intents.open_intent(message.subject, message.data, self._tenants, self._kinds)
        try:
            await self._act(event, message.deliveries)
        except Transient:  # its id may be taken, which no patience mends
            if not await stored_before(self._runtime.store, event):
                raise

    async def _act(self, event: Event, deliveries: int) -> None:
        if event.type in RESOURCES:
            await self._resources.act(event, deliveries)
        elif event.type == IMPORT_REQUESTED:
            await self._imports.act(event)
        elif event.type == RETRY_REQUESTED:
            await self._retry(event)
        elif event.type == CANCEL_REQUESTED:
            await self._cancel(event, deliveries)
        else:
            await self._request(event)

    async def _request(self, event: Event) -> None:
        if self._runtime.state.run(RunKey(event.stream.tenant, event.stream.name)) is not None:
            await stored_before(self._runtime.store, event)
        original = await self._original(event)

        def decide(state: ControlState, now: datetime) -> Decision:
            return runs.decide(state, event, original=original, office=self._office, now=now)

        await self._runtime.settle(decide)

    async def _cancel(self, event: Event, deliveries: int) -> None:
        def decide(state: ControlState, now: datetime) -> Decision:
            return cancels.decide(state, event, now)

        try:
            await self._runtime.settle(decide)
        except Refused as refused:
            if refused.code == "run.unknown" and deliveries < _PATIENCE_DELIVERIES:
                raise TooEarly from refused
            raise

    async def _retry(self, event: Event) -> None:
        def decide(state: ControlState, _: datetime) -> Decision:
            return deadletters.decide(state.letters, event)

        await self._runtime.settle(decide)

    async def _original(self, event: Event) -> RunRecord | None:
        """The whole record of the run that is to be replayed: in memory there is too little of a run that ended."""
        name = payload(event, RunRequested).replay_of
        if name is None:
            return None
        return fold_run(await self._runtime.store.read_stream(run_stream(event.stream.tenant, name)))


class ReportDesk:
    """Takes executors' reports, those of one executor in the order of its journal."""

    def __init__(self, runtime: Runtime, trusted: Callable[[], TrustedKeys]) -> None:
        """`trusted`: the keys that count for somebody, as of now."""
        self._runtime = runtime
        self._trusted = trusted

    async def act(self, message: Message) -> None:
        """Store what follows from a report."""
        executor = subjects.executor_of(message.subject)
        report = reports.read_report(message.data, executor, self._trusted())
        if isinstance(report, Rejection) and report.code == UNTRUSTED:  # another process may have let the key in
            await self._runtime.catch_up()
            report = reports.read_report(message.data, executor, self._trusted())
        if isinstance(report, Rejection):
            log.error("evidence rejected", executor=executor, code=report.code, digest=report.digest)
        for _ in range(_TURNS):
            decision = await self._decide(report)
            if not decision.too_early:
                return
            # The record before it may be with another control process, and as good as stored.
            await self._runtime.moved(_TURN_S)
        raise TooEarly

    async def _decide(self, report: Report | Rejection) -> Decision:
        async with self._runtime.turns[report.executor]:
            try:
                return await self._store(report)
            except Refused as refused:
                return await self._store_refused(report, refused)

    async def _store(self, report: Report | Rejection) -> Decision:
        def decide(state: ControlState, now: datetime) -> Decision:
            return reports.decide(state, report, now)

        return await self._runtime.settle(decide)

    async def _store_refused(self, report: Report | Rejection, refused: Refused) -> Decision:
        """The store will not have what a report says (it is too large, or looks like a secret)."""
        log.error("evidence refused by the store", executor=report.executor, code=refused.code, digest=report.digest)
        if isinstance(report, Rejection):
            return await self._store(replace(report, message=f"refused by the store: {refused.code}"))

        def decide(state: ControlState, now: datetime) -> Decision:
            return reports.pass_over(
                state, report, code=refused.code, message="the store does not take what it says", now=now
            )

        return await self._runtime.settle(decide)
