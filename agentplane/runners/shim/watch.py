"""Watches one running program to its end: streams, events, the wall clock, the order to stop. One thread, one poll."""

import base64
import contextlib
import json
import os
import select
import signal
from time import monotonic
from typing import Final

from agentplane.runners.shim import cgroups, contract
from agentplane.runners.shim.channels import Drain, FileDrain, LineDrain, last_words
from agentplane.runners.shim.contract import Ended, Launch
from agentplane.runners.shim.judge import DISK_FULL, Seen, judge
from agentplane.runners.shim.room import RETRY_S, Room
from agentplane.runners.shim.spawn import Program
from agentplane.runners.shim.state import FILE_MODE, utc_now

FILES: Final = {
    "console": contract.CONSOLE,
    "serial": contract.SERIAL,
    "host": contract.HOST,
    "result": contract.RESULT,
}
_PHASES: Final = frozenset({"booted", "started", "exited", "finished"})
_DRAIN_TIMEOUT_S: Final = 2.0


class Watch:
    """The state of one supervision; `run` returns when everything is over."""

    def __init__(self, launch: Launch, program: Program, directory: str, interrupted: int) -> None:
        self.launch = launch
        self.program = program
        self.directory = directory
        self.interrupted = interrupted  # readable once it is told to end
        self.launched_at, self.began = utc_now(), monotonic()
        self.times: dict[str, float] = {}
        self.exit_code: int | None = None
        self.contradicted = False
        self.failed: str | None = None
        self.expected: dict[str, int] | None = None  # bytes the guest says it has sent
        self.acknowledged = False
        self.stop_cause: str | None = None
        self.stop_reason = ""
        self.kill_at: float | None = None
        self.events_left = next(c["cap_bytes"] for c in launch["channels"] if c["name"] == "events")
        self.events_file = os.open(
            os.path.join(directory, contract.EVENTS), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE
        )
        self.disk_failure = ""
        self.drains = {channel["name"]: self._drain(channel) for channel in launch["channels"]}
        result = self.drains["result"]
        assert isinstance(result, FileDrain)  # noqa: S101 - as `_drain` makes it
        self.result, self.room = result, Room(result, launch.get("room_timeout_s", 0.0))

    def _drain(self, channel: contract.Channel) -> Drain:
        name, fd = channel["name"], self.program.ends[channel["name"]]
        if name == "events":
            return LineDrain(name, fd, self._event)
        if name == "monitor":
            monitor = LineDrain(name, fd, self._hear)
            monitor.send(b'{"execute":"qmp_capabilities"}\n')
            return monitor
        path = os.path.join(self.directory, FILES[name])
        if name == "result":
            return FileDrain(name, fd, path, channel["cap_bytes"], mark=b"", patient=True)
        return FileDrain(name, fd, path, channel["cap_bytes"])

    def run(self) -> Ended:
        """Supervise until the program has ended; then read what is left, empty its group and judge."""
        poll = select.poll()
        poll.register(self.program.pidfd, select.POLLIN)
        poll.register(self.interrupted, select.POLLIN)
        for drain in self.drains.values():
            poll.register(drain.fd, select.POLLIN)
        by_fd = {drain.fd: drain for drain in self.drains.values()}
        while True:
            ready = {fd for fd, _ in poll.poll(self._wait_ms())}
            for fd in ready & by_fd.keys():
                by_fd[fd].read()
                if not by_fd[fd].open or (by_fd[fd] is self.result and self.result.waiting):
                    poll.unregister(fd)
                    del by_fd[fd]
            if self.room.tried(monotonic()) and self.result.open:
                poll.register(self.result.fd, select.POLLIN)
                by_fd[self.result.fd] = self.result
            if self.interrupted in ready:
                poll.unregister(self.interrupted)
                self._stop("cancel", self._cancel_reason())
            self._after_bytes()
            self._after_time()
            if self.program.pidfd in ready:
                return self._end()

    def _event(self, event: dict[str, object]) -> None:
        name = str(event.get("event"))
        if name in _PHASES:
            first = name not in self.times
            self.times.setdefault(name, monotonic())
            if name == "exited":
                self._exited(event)
            elif name == "finished":
                self._finished(event)
            if first:  # a guest that repeats itself must not fill our disk
                self._record(event)
        elif name in {"failed", "workload"}:
            data = _decoded(event.get("data"))
            self.failed = data if name == "failed" else self.failed
            self._record({"event": name, "data": data}, may_be_dropped=True)

    def _hear(self, said: dict[str, object]) -> None:
        """QEMU's own events (QMP): what BLOCK_IO_ERROR is about is a file of this host, whatever the guest does."""
        data = said.get("data")
        if said.get("event") == "BLOCK_IO_ERROR" and isinstance(data, dict) and not self.disk_failure:
            self.disk_failure = str(data.get("reason"))

    def _exited(self, event: dict[str, object]) -> None:
        code = event.get("code")
        if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 255:  # noqa: PLR2004 - wait(2)
            code = 255
        self.contradicted |= self.exit_code not in {None, code}
        self.exit_code = code

    def _finished(self, event: dict[str, object]) -> None:
        counts = {"console": event.get("consoleBytes", 0), "result": event.get("resultBytes", 0)}
        self.expected = {name: count for name, count in counts.items() if isinstance(count, int)}

    def _record(self, event: dict[str, object], *, may_be_dropped: bool = False) -> None:
        line = json.dumps({**event, "at": utc_now(), "ms": self._ms(monotonic())}).encode() + b"\n"
        self.events_left -= len(line)
        if self.events_left < 0 and may_be_dropped:
            self.drains["events"].truncated = True
            return
        with contextlib.suppress(OSError):  # a full disk loses the feed, not the verdict
            os.write(self.events_file, line)

    def _after_bytes(self) -> None:
        events = self.drains["events"]
        if self.result.truncated:
            self._stop(*_overflow(self.result, self.launch))
        if self.expected is not None and not self.acknowledged and self._has_all():
            self.acknowledged = True
            if isinstance(events, LineDrain):
                events.send(b"taken\n")

    def _has_all(self) -> bool:
        expected = self.expected or {}
        if self.result.waiting or self.result.truncated:
            return False
        return all(self.drains[name].received_bytes >= count for name, count in expected.items())

    def _after_time(self) -> None:
        now = monotonic()
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = None
            self._signal(signal.SIGKILL)
        due = self._due()
        if due is not None and now >= due[0]:
            self._stop(due[1], due[2])

    def _due(self) -> tuple[float, str, str] | None:
        """When the current phase is over, why that is a stop, and the words."""
        launch = self.launch
        if self.stop_cause is not None:
            return None
        if "exited" in self.times:
            limit = launch["collect_timeout_s"]
            due = self.times["exited"] + limit + self.room.waited_s(monotonic())
            return due, "collect", f"its artifacts were not handed out within {limit:g} s"
        if "started" in self.times:
            return self.times["started"] + launch["deadline_s"], "deadline", ""
        limit = launch["boot_timeout_s"]
        return self.began + limit, "stalled", f"the workload had not started after {limit:g} s"

    def _wait_ms(self) -> int | None:
        due = self._due()
        again = None if self.room.since is None else monotonic() + RETRY_S
        moments = [moment for moment in (self.kill_at, due[0] if due else None, again) if moment is not None]
        return max(0, int((min(moments) - monotonic()) * 1000) + 1) if moments else None

    def _stop(self, cause: str, reason: str) -> None:
        """Ask the program to end, and have it killed if it does not. The first cause is the one that counts."""
        if self.stop_cause is not None:
            return
        self.stop_cause, self.stop_reason = cause, reason
        self.kill_at = monotonic() + self.launch["stop_timeout_s"]
        monitor = self.drains.get("monitor")
        if isinstance(monitor, LineDrain):
            monitor.send(b'{"execute":"quit"}\n')
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.program.pidfd, number)

    def _cancel_reason(self) -> str:
        try:
            with open(os.path.join(self.directory, contract.CANCEL), "rb") as source:
                return str(json.load(source)["reason"])
        except (OSError, ValueError, KeyError):
            return "the shim was told to end (SIGTERM)"

    def _end(self) -> Ended:
        _, status, usage = os.wait4(self.program.pid, 0)
        ended = monotonic()
        group = self.program.group
        oom_kills, peak = cgroups.oom_kills(group), cgroups.peak_bytes(group)
        cgroups.destroy(group)
        self._drain_rest()
        self._after_bytes()
        self.times["ended"] = ended
        verdict = judge(self._seen(os.waitstatus_to_exitcode(status), oom_kills))
        return {
            "outcome": verdict.outcome,
            "exit_code": verdict.exit_code,
            "message": verdict.message,
            "started": "started" in self.times,
            "stalled": self.stop_cause == "stalled",
            "launched_at": self.launched_at,
            "ended_at": utc_now(),
            "timings_ms": {name: self._ms(moment) for name, moment in self.times.items()},
            "truncated": sorted(drain.name for drain in self.drains.values() if drain.truncated),
            "received_bytes": {drain.name: drain.received_bytes for drain in self.drains.values()},
            "result_complete": self.expected is not None and self._has_all(),
            "memory_peak_bytes": peak or usage.ru_maxrss * 1024,
            "cpu_ms": int((usage.ru_utime + usage.ru_stime) * 1000),
            "enforced": list(group.enforced),
        }

    def _drain_rest(self) -> None:
        for drain in self.drains.values():
            until = self._worked() + _DRAIN_TIMEOUT_S
            while drain.open and self._more(drain) and self._worked() < until:
                pass
            drain.close()
        self.result.sync()

    def _more(self, drain: Drain) -> bool:
        return drain.read() or (drain is self.result and self.result.waiting and self._found_room())

    def _found_room(self) -> bool:
        """Wait for room for what the ended program left in its pipe, unless it was stopped; whether there is."""
        while self.stop_cause is None:
            if select.select([self.interrupted], [], [], RETRY_S)[0]:
                self._stop("cancel", self._cancel_reason())
            elif self.room.tried(monotonic()):
                return not self.result.truncated
        self.room.give_up(monotonic())
        return False

    def _worked(self) -> float:
        """A clock that stands still while there is no room."""
        now = monotonic()
        return now - self.room.waited_s(now)

    def _seen(self, status: int, oom_kills: int) -> Seen:
        # A sandbox that does not come up says so on the console; once the workload runs, that is the workload's.
        spoken = ("host", "serial", "console") if "started" not in self.times else ("host", "serial")
        tails = [getattr(self.drains.get(name), "tail", b"") for name in spoken]
        return Seen(
            program=os.path.basename(self.launch["argv"][0]),
            status=status,
            booted="booted" in self.times,
            started="started" in self.times,
            exit_code=self.exit_code,
            contradicted=self.contradicted,
            finished=self.expected is not None and self._has_all(),
            failed=self.failed,
            stop=self.stop_cause,
            stop_reason=self.stop_reason,
            oom_kills=oom_kills,
            disk_failure=self.disk_failure,
            waited_s=self.room.waited_s(monotonic()),
            last_words=last_words(next(filter(None, tails), b"")),
            deadline_s=self.launch["deadline_s"],
        )

    def _ms(self, moment: float) -> int:
        return round((moment - self.began) * 1000)


def _overflow(result: FileDrain, launch: Launch) -> tuple[str, str]:
    if result.failure is not None:
        why = f"the artifacts could not be kept: {result.failure}"
        limit = launch.get("room_timeout_s", 0.0)
        return "host", f"{DISK_FULL}: {why}, nor was there room within {limit:g} s" if result.full else why
    cap = next(channel["cap_bytes"] for channel in launch["channels"] if channel["name"] == "result")
    return "overflow", f"the artifacts are larger than {cap} bytes"


def _decoded(data: object) -> str:
    """What the guest put into base64, as text."""
    with contextlib.suppress(ValueError):
        return base64.b64decode(str(data), validate=True).decode("utf-8", "replace")
    return ""
