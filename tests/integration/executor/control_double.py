"""The other end of the conversation, as strict as control: believes signed, chained reports only, commits in order."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from agentplane.bus import subjects
from agentplane.bus.nats import NatsBus
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.report import Report, parse_report
from agentplane.runs.protocol import Assignment, Cancellation, HeartbeatReply, HeartbeatRequest
from tests.unit.executor.samples import EXECUTOR, EXECUTOR_SIGNER

TRUSTED = TrustedKeys({EXECUTOR_SIGNER.identity: (EXECUTOR_SIGNER.public_key,)})


class ControlDouble:
    """Answers heartbeats from its fields; `changed` is set with every heartbeat and every commit."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.assignments: tuple[Assignment, ...] = ()
        self.cancellations: tuple[Cancellation, ...] = ()
        self.committed: list[Report] = []
        self.heartbeats: list[HeartbeatRequest] = []
        self.console = b""
        self.changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.bus.respond(subjects.heartbeat(EXECUTOR), self._answer)
        self._tasks = [asyncio.ensure_future(self._commit()), asyncio.ensure_future(self._listen())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.bus.close()

    async def assign(self, *assignments: Assignment) -> None:
        self.assignments = assignments
        await self.bus.emit(subjects.wake(EXECUTOR), b"")

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), 0.2)

    def kinds(self) -> list[str]:
        return [report.kind for report in self.committed]

    async def _answer(self, subject: str, data: bytes) -> bytes:
        request = msgspec.json.decode(data, type=HeartbeatRequest)
        assert subjects.executor_of(subject) == request.executor
        self.heartbeats.append(request)
        self.changed.set()
        return msgspec.json.encode(
            HeartbeatReply(
                accepted=True,
                message="",
                assignments=self.assignments,
                cancellations=self.cancellations,
                committed_index=len(self.committed),
                heartbeat_seconds=1,
            )
        )

    async def _commit(self) -> None:
        async for message in self.bus.consume(subjects.INTENTS, "double", subject=subjects.report(EXECUTOR)):
            report = parse_report(message.data, TRUSTED, EXECUTOR)
            if report.index > len(self.committed) + 1:
                await message.nak(0.1)
                continue
            if report.index == len(self.committed) + 1:
                assert report.previous == (self.committed[-1].digest if self.committed else None)
                self.committed.append(report)
                self._released(report)
                self.changed.set()
            await message.ack()

    def _released(self, report: Report) -> None:
        if report.kind == "RunFinished":
            self.assignments = tuple(work for work in self.assignments if work.run != report.run)

    async def _listen(self) -> None:
        async for _, data in self.bus.subscribe(f"agentplane-executor.{EXECUTOR}.log.>"):
            self.console += data
