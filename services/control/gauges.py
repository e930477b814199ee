"""What control says of itself when Prometheus asks. Reads; decides nothing."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from agentplane.enrolment.model import PHASES
from agentplane.metrics.exposition import Gauge
from agentplane.runs.states import RunState
from agentplane.store.relay import Relay
from services.control.runtime import Runtime
from services.control.vigil import Vigil


def gauges(runtime: Runtime, vigil: Vigil, relay: Relay) -> Callable[[], Awaitable[Iterable[Gauge]]]:
    """The gauges of one control process, as of the moment when they are asked for."""

    async def now() -> Iterable[Gauge]:
        return (*_log(runtime, relay), *_runs(runtime), *_executors(runtime, vigil))

    return now


def _log(runtime: Runtime, relay: Relay) -> Iterable[Gauge]:
    head = runtime.state.position
    yield Gauge("log_position", "Sequence of the last event that this process has read.", head)
    yield Gauge("unreadable_events", "Events whose data did not fit their type.", runtime.state.unreadable)
    yield Gauge("relay_standby", "1: another process relays.", relay.standby)
    yield Gauge("relay_waiting", "1: the database or the broker is away.", relay.trouble is not None)
    lag = 0 if relay.standby else max(0, head - relay.position)
    yield Gauge("relay_lag_events", "Events in the log that the broker has not acknowledged.", lag)


def _runs(runtime: Runtime) -> Iterable[Gauge]:
    counted = Counter(state for state, _ in runtime.state.census())
    for state in RunState:
        yield Gauge("runs", "Runs by state, ended ones too.", counted[state], {"state": state.value})


def _executors(runtime: Runtime, vigil: Vigil) -> Iterable[Gauge]:
    now = runtime.now()
    everybody = runtime.state.all_executors()
    phases = Counter(each.enrolment.phase for each in everybody)
    for phase in PHASES:
        yield Gauge("executors", "Executors by what operators decided of them.", phases[phase], {"phase": phase})
    asking = sum(len(each.enrolment.pending) for each in everybody)
    yield Gauge("join_requests_pending", "Hosts that ask to join and wait for an operator.", asking)
    for executor in runtime.state.executors():
        labels = {"executor": executor.name}
        if not executor.enrolment.left:
            fit = executor.reachable and executor.fenced is None and executor.enrolment.clock is None
            yield Gauge("executor_fit", "0: unreachable, fenced, or its clock is off.", fit, labels)
        yield Gauge("leases", "Leases that an executor holds.", len(executor.leases), labels)
        silence = (now - vigil.last_heard(executor.name)).total_seconds()
        yield Gauge("executor_silence_seconds", "Since an executor was last heard of.", max(0.0, silence), labels)
