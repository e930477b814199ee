"""One attempt from its claim to its seal. Every step ends in `state.json`; a restart goes on from the last one.

Nothing here decides whether an attempt should run: `reconcile` does, and says so through `confirm` and `cancel`.
What has not been launched before a restart is only launched once control has named it again; what was launched is
adopted at once. The table of stages, and what a crash in each costs, is in `runstate`.
"""

import asyncio
import time
from asyncio import sleep as pause
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agentplane.clock import parse_rfc3339, rfc3339
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Broken, Denied, NotFound, Refused, Transient
from agentplane.evidence.report import started_artifact
from agentplane.metrics.counters import count_guest
from agentplane.placement.artifact import placement_receipt_artifact
from agentplane.runners.plan import Ending, Execution, Plan
from agentplane.runs.model import ArtifactFact
from agentplane.runs.protocol import Assignment
from agentplane.runs.states import Outcome
from services.executor.authority import Mandate, verify_assignment
from services.executor.collecting import collect, empty, keep_console
from services.executor.ledger import AttemptLedger, about
from services.executor.patience import Patience
from services.executor.permission import Permission
from services.executor.planning import make_plan
from services.executor.publication import Publication
from services.executor.reporting import run_facts, started_report
from services.executor.runstate import HOLDING, Ended, LocalRun, RunRecord, Stage, ended_of
from services.executor.statedir import AttemptDirectory
from services.executor.supervision import Launch
from services.executor.surroundings import Surroundings

log = get_logger()

_RETRY_S: Final = 5.0


class Attempt:
    """Carries one attempt forward. `run` returns when it is sealed."""

    def __init__(self, around: Surroundings, directory: AttemptDirectory, *, confirmed: bool) -> None:
        self._around = around
        self._directory = directory
        self._assignment: Assignment = directory.assignment()
        self._record: RunRecord = directory.load()
        self._claims: AttemptLedger | None = None
        self._mandate: Mandate | None = None
        self._launch = Launch(around, directory.key, self._assignment)
        self._permission = Permission(confirmed=confirmed, cancelled=self._record.cancel_reason is not None)
        self._patience = Patience(around.patience_s)

    @property
    def record(self) -> RunRecord:
        """How far it has come."""
        return self._record

    @property
    def lease_seconds(self) -> int:
        """How long control waits for a heartbeat."""
        return self._assignment.lease_seconds

    def local(self, *, supervised: bool, missed: int) -> LocalRun:
        """As `reconcile` sees it."""
        return LocalRun(
            key=self._directory.key,
            stage=self._record.stage,
            resources=self._assignment.pins.resources,
            supervised=supervised,
            cancelled=self._record.cancel_reason is not None,
            missed=missed,
            seal_index=self._record.seal_index,
        )

    def confirm(self) -> None:
        """Control names this lease: what is not launched yet may be."""
        self._permission.confirm()

    def cancel(self, reason: str) -> None:
        """End it as cancelled. Raises Transient (`state-dir.full`): it is not remembered yet, ask again."""
        if self._record.stage in HOLDING and self._record.cancel_reason is None:
            self._save(cancel_reason=reason)
            self._permission.cancel()

    async def run(self) -> None:
        """Step by step to the seal; a full disk or an away bus only delays."""
        while self._record.stage is not Stage.SEALED:
            try:
                await self._step()
            except Transient as exc:
                log.warning("attempt waits", run=str(self._directory.key), code=exc.code, reason=str(exc))
                await pause(exc.delay_s)
            except AgentplaneError as exc:
                # Its shim is only just starting or ending; or the host is broken, and goes on once it is repaired.
                log.warning("attempt is tried again", run=str(self._directory.key), code=exc.code, reason=str(exc))
                await pause(_RETRY_S)

    async def _step(self) -> None:
        match self._record.stage:
            case Stage.CLAIMED:
                await self._prepare()
            case Stage.PREPARED:
                await self._announce()
            case Stage.STARTED:
                await self._execute()
            case Stage.ENDED:
                await self._collect()
            case _:
                await self._publish()

    # --- claimed -> prepared -------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        if not await self._may_go_on():
            return
        begun = time.monotonic()
        try:
            self._mandate = verify_assignment(self._assignment, self._around.executor, self._around.trusted)
            prepared = await self._around.blocking(self._around.host.prepare, self._assignment)
        except Broken as exc:
            self._end(Outcome.BUILD_FAILED if exc.code.startswith("nix.") else Outcome.HOST_FAILED, _told(exc))
        except Transient as exc:
            if not self._patience.spent(exc, begun):
                raise
            self._end(Outcome.CANCELLED, _told(exc))  # nobody asked for that: control places the run elsewhere
        except AgentplaneError as exc:
            log.warning("assignment refused", run=str(self._directory.key), code=exc.code, reason=str(exc))
            self._end(Outcome.HOST_FAILED, _told(exc))
        else:
            self._save(stage=Stage.PREPARED, prepared=prepared, timings_ms={"prepared": _since_ms(begun)})

    # --- prepared -> started -------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        if not await self._may_go_on():
            return
        claims = await self._ledger()
        await self._acknowledge(claims)
        facts = run_facts(self._assignment, self._around.executor)
        await claims.claim(started_artifact(started_report(facts, self._record)))
        self._save(stage=Stage.STARTED)

    # --- started -> ended ----------------------------------------------------------------------------------------

    async def _execute(self) -> None:
        plan = self._plan()
        execution = await self._launch.find(plan) or await self._start(plan)
        if execution is None:
            return
        ending = execution if isinstance(execution, Ending) else await self._watch(execution)
        if self._relaunchable(ending):
            log.warning("guest never started, launching again", run=str(self._directory.key), reason=ending.message)
            self._save(launch=self._record.launch + 1)
        else:
            count_guest(ending.outcome.value, ending.launched_at, ending.ended_at)
            self._ended(ending)

    async def _start(self, plan: Plan) -> Execution | None:
        """Launch what was not launched before; None when it has ended instead."""
        if not await self._may_go_on():
            return None
        try:
            return await self._launch.start(plan)
        except (Broken, Refused, NotFound, Denied) as exc:
            self._end(Outcome.HOST_FAILED, _told(exc))
            return None

    async def _watch(self, execution: Execution) -> Ending:
        return await self._launch.watch(execution, self._permission.cancelled, self._why_cancelled)

    def _relaunchable(self, ending: Ending) -> bool:
        never_began = ending.outcome is Outcome.HOST_FAILED and not ending.started
        return never_began and self._record.launch == 1 and not self._permission.cancelled.is_set()

    def _plan(self) -> Plan:
        return make_plan(self._assignment, self._record, self._directory.shim, self._around.caps)

    # --- ended -> collected --------------------------------------------------------------------------------------

    async def _collect(self) -> None:
        ended = self._record.ended
        assert ended is not None  # noqa: S101 - written with the stage
        out_dir = self._directory.out_dir(self._assignment.pins.out_dir)
        files = self._directory.files
        artifacts: tuple[ArtifactFact, ...] = ()
        if ended.directory is not None:
            await self._around.blocking(keep_console, Path(ended.directory), self._directory.console)
        try:
            if ended.directory is not None and ended.result_complete:
                limits = self._plan().caps.artifacts
                artifacts = await self._around.blocking(collect, Path(ended.directory), files, out_dir, limits)
            else:
                await self._around.blocking(empty, files, out_dir)
        except Refused as exc:
            await self._around.blocking(empty, files, out_dir)
            ended = replace(ended, outcome=Outcome.RESULT_REFUSED, message=_told(exc))
        self._save(stage=Stage.COLLECTED, artifacts=artifacts, ended=ended)

    # --- collected -> sealed -------------------------------------------------------------------------------------

    async def _publish(self) -> None:
        ended = self._record.ended
        assert ended is not None  # noqa: S101 - written with an earlier stage
        claims = await self._ledger()
        publication = Publication(self._assignment, self._around.executor, self._directory, claims)
        try:
            await self._acknowledge(claims)
            seal = await publication.publish(self._record, ended, self._around.workers)
        except Refused as exc:
            if self._mandate is not None:
                raise
            # Not control's word, and not even of the form: there is nothing that could be signed about it.
            log.warning("unreportable assignment", run=str(self._directory.key), code=exc.code, reason=str(exc))
            seal = 0
        self._save(stage=Stage.SEALED, seal_index=seal)
        self._claims = self._mandate = None  # kept attempts are many

    async def _acknowledge(self, claims: AttemptLedger) -> None:
        """The receipt for control's placement, unless it is made; none for what control did not sign."""
        if self._mandate is None:
            return
        receipt = placement_receipt_artifact(
            self._mandate.decision.statement.predicate.artifact,
            bundle=self._assignment.pins.bundle,
            backend=self._assignment.backend,
            lane=self._assignment.pins.lane,
            signed_by=self._around.key_id,
            created_at=parse_rfc3339(self._record.claimed_at),
        )
        await claims.claim(receipt)

    # --- shared --------------------------------------------------------------------------------------------------

    async def _may_go_on(self) -> bool:
        """Wait until control has named this lease; False, and ended, when it was cancelled instead."""
        granted = await self._permission.granted()
        if not granted:
            self._end(Outcome.CANCELLED, self._why_cancelled())
        return granted

    def _why_cancelled(self) -> str:
        return self._record.cancel_reason or "cancelled"

    async def _ledger(self) -> AttemptLedger:
        if self._claims is None:
            if self._mandate is None:
                self._mandate = self._verified()
            ledger, start = self._around.ledger, self._record.journal_start
            records = await asyncio.to_thread(ledger.attempt, self._directory.key, start)
            self._claims = AttemptLedger(ledger, about(self._assignment), self._mandate, records)
        return self._claims

    def _verified(self) -> Mandate | None:
        try:
            return verify_assignment(self._assignment, self._around.executor, self._around.trusted)
        except AgentplaneError:
            return None  # it was refused for that, and the report of the refusal cannot name what does not verify

    def _end(self, outcome: Outcome, message: str) -> None:
        now = rfc3339(self._around.clock.now())
        self._save(stage=Stage.ENDED, ended=Ended(outcome=outcome, exit_code=-1, message=message, ended_at=now))

    def _ended(self, ending: Ending) -> None:
        directory = self._directory.shim / f"launch-{self._record.launch}"
        self._save(stage=Stage.ENDED, ended=ended_of(ending, str(directory)))

    def _save(self, **changes: object) -> None:
        record, before = replace(self._record, **changes), self._record
        self._directory.save(record)
        self._record = record
        if record.stage is not before.stage:
            outcome = record.ended.outcome if record.ended else None
            log.info("stage complete", run=str(self._directory.key), stage=record.stage, outcome=outcome)
        if before.stage in HOLDING and record.stage not in HOLDING:
            self._around.changed()  # there is room for more


def _told(error: AgentplaneError) -> str:
    return f"{error.code}: {error}"


def _since_ms(begun: float) -> int:
    return int((time.monotonic() - begun) * 1000)
