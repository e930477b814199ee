"""Whatever comes, in whatever order and however often: what must never happen does not happen.

Two control processes decide upon their own folds, which lag behind the log; messages are lost, repeated and
reordered; time passes. The log is the judge.
"""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentplane.controllers.decision import Decision
from agentplane.errors import Conflict, Refused
from agentplane.events.model import StoredEvent
from agentplane.runs.protocol import Assignment
from agentplane.runs.states import Outcome
from tests.scenario.log import Log
from tests.scenario.world import Executor, World

NAMES = ("exec-1", "exec-2")
ENDS = {"run.finished", "run.superseded", "run.quarantined", "run.refused"}

RUN_1 = World(*NAMES).intent(1).stream.name  # its first attempt is lost
RUNS = st.integers(1, 3)
HOSTS = st.sampled_from(NAMES)
ANY = st.integers(0, 40)
# What leads to deep histories is likely; what ends them early is rare.
STEPS = {
    "intent": (1, RUNS),
    "cancel": (1, st.just(3)),
    "beat": (4, HOSTS),
    "place": (4, RUNS),
    "work": (4, HOSTS),
    "next": (4, HOSTS),
    "report": (1, ANY),
    "garble": (1, ANY),
    "expire": (1, RUNS),
    "wait": (1, st.integers(1, 40)),
    "read": (1, st.just(0)),
}
step = st.sampled_from([what for what, (weight, _) in STEPS.items() for _ in range(weight)]).flatmap(
    lambda what: st.tuples(st.just(what), STEPS[what][1])
)


class Chaos:
    """Two control processes over one log, two executors, and a bus that delivers anything at any time."""

    def __init__(self) -> None:
        self.log = Log()
        self.worlds = [World(*NAMES, log=self.log) for _ in range(2)]
        self.executors = {name: Executor(name) for name in NAMES}
        for world in self.worlds:
            world.executors = self.executors
        self.told: dict[str, list[Assignment]] = {name: [] for name in NAMES}
        self.done: Counter[tuple[str, str, int]] = Counter()
        self.wire: list[tuple[str, bytes]] = []

    def do(self, who: int, what: str, value: object) -> None:
        world = self.worlds[who]
        try:
            getattr(self, f"_{what}")(world, value)
        except Conflict:
            world.fold()  # read on; whoever cares decides again

    def _intent(self, world: World, number: int) -> None:
        self._take(world, world.decide_intent(world.intent(number)))

    def _cancel(self, world: World, number: int) -> None:
        try:
            self._take(world, world.cancel(world.intent(number).stream.name, 900 + number))
        except Refused:
            return

    def _beat(self, world: World, name: str) -> None:
        for each in self.worlds:
            each.heard[name] = each.now
        self.told[name] = list(world.beat(name).assignments)

    def _place(self, world: World, number: int) -> None:
        name = world.intent(number).stream.name
        if any(run.key.name == name for run in world.state.live_runs()):
            self._take(world, world.decide_placement(name))

    def _work(self, _world: World, name: str) -> None:
        for told in self.told[name]:
            self.done[name, told.run, told.epoch] += 1
            if self.done[name, told.run, told.epoch] == 1:
                self.wire.append((name, self.executors[name].started(told)))
            elif self.done[name, told.run, told.epoch] == 2:
                outcome = Outcome.LOST if told.epoch == 1 and told.run == RUN_1 else Outcome.EXITED
                self.wire.append((name, self.executors[name].finished(told, outcome)))

    def _report(self, world: World, number: int) -> None:
        if self.wire:
            name, data = self.wire[number % len(self.wire)]
            self._take(world, world.decide_report(data, name))

    def _next(self, world: World, name: str) -> None:
        waiting = [data for sender, data in self.wire if sender == name][world.executor(name).journal_index :]
        if waiting:
            self._take(world, world.decide_report(waiting[0], name))

    def _garble(self, world: World, number: int) -> None:
        if self.wire:
            name, data = self.wire[number % len(self.wire)]
            changed = bytearray(data)
            changed[number * 7 % len(changed)] ^= 1
            self._take(world, world.decide_report(bytes(changed), name))

    def _expire(self, world: World, number: int) -> None:
        name = world.intent(number).stream.name
        if any(run.key.name == name for run in world.state.live_runs()):
            self._take(world, world.decide_expiry(name))

    def _wait(self, _world: World, seconds: int) -> None:
        for world in self.worlds:
            world.later(seconds)

    def _read(self, world: World, _: int) -> None:
        world.fold()

    def _take(self, world: World, decision: Decision) -> None:
        # Only the appends: what the other process stored meanwhile is not read before something forces us to.
        placed = self.log.append(decision.appends, world.now)
        if placed and placed[0].sequence == world.state.position + 1:
            for stored in placed:
                world.state.apply(stored)


def check(events: list[StoredEvent]) -> None:
    """The safety properties, over the whole log."""
    _check_epochs(events)
    _check_ends(events)
    _check_leases(events)
    _check_journals(events)


def _check_epochs(events: list[StoredEvent]) -> None:
    seen: dict[str, int] = {}
    for stored in events:
        if stored.event.type == "run.placed":
            name, epoch = stored.event.stream.name, stored.event.data["epoch"]
            assert epoch == seen.get(name, 0) + 1, "an epoch was given twice, or skipped"
            seen[name] = epoch


def _check_ends(events: list[StoredEvent]) -> None:
    ended: set[str] = set()
    for stored in events:
        if stored.event.stream.kind != "Run":
            continue
        name, type_ = stored.event.stream.name, stored.event.type
        if name in ended:
            assert type_ in {"run.evidence", "run.superseded"}, f"{type_} after the end"
        if type_ in ENDS:
            ended.add(name)


def _check_leases(events: list[StoredEvent]) -> None:
    held: dict[str, tuple[str, int]] = {}
    taken: Counter[str] = Counter()
    for stored in events:
        data, type_ = stored.event.data, stored.event.type
        if type_ == "executor.leased":
            assert data["run"] not in held, "two leases of one run at a time"
            held[data["run"]] = (stored.event.stream.name, data["epoch"])
            taken[stored.event.stream.name] += data["resources"]["vcpus"]
        elif type_ == "executor.released":
            assert held.pop(data["run"]) == (stored.event.stream.name, data["epoch"])
            taken[stored.event.stream.name] -= 1
        elif type_ in {"run.started", "run.finished"} and data["outcome" if "outcome" in data else "epoch"] != "lost":
            assert held.get(stored.event.stream.name, (data["executor"], data["epoch"])) == (
                data["executor"],
                data["epoch"],
            ), "it was believed of somebody who does not hold it"
        assert all(count <= 4 for count in taken.values()), "an executor was given more than it has"


def _check_journals(events: list[StoredEvent]) -> None:
    committed: dict[str, int] = {}
    for stored in events:
        if stored.event.type == "executor.journal-advanced":
            name, index = stored.event.stream.name, stored.event.data["index"]
            assert index == committed.get(name, 0) + 1, "a journal was committed out of order or twice"
            committed[name] = index


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.tuples(st.integers(0, 1), step), min_size=20, max_size=120))
def test_nothing_bad_happens(steps: list[tuple[int, tuple[str, object]]]) -> None:
    chaos = Chaos()
    for who, (what, value) in steps:
        chaos.do(who, what, value)
    check(chaos.log.events)
    for world in chaos.worlds:
        world.fold()
    assert _sight(chaos.worlds[0]) == _sight(chaos.worlds[1]), "two folds of one log differ"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(step, min_size=20, max_size=80), st.randoms(use_true_random=False))
def test_everything_delivered_again_changes_nothing(steps: list[tuple[str, object]], random: object) -> None:
    """After any history, a new process that folds the log and sees every message again stores nothing new."""
    chaos = Chaos()
    for what, value in steps:
        chaos.do(0, what, value)
        chaos.worlds[0].fold()
    world = World(*NAMES, log=chaos.log)
    world.now = chaos.worlds[0].now
    world.fold()
    in_order = [*chaos.wire]
    for name, data in in_order:  # first what had not arrived yet
        world.take(world.decide_report(data, name))
    intents = [number for number in (1, 2, 3) if world.log.stream(world.intent(number).stream)]
    before = len(world.log.events)
    again = [*in_order, *in_order]
    random.shuffle(again)  # type: ignore[attr-defined]
    for name, data in again:
        world.take(world.decide_report(data, name))
    for number in intents:
        world.take(world.decide_intent(world.intent(number)))
    assert len(world.log.events) == before
    check(world.log.events)


def _sight(world: World) -> object:
    return (
        world.state.position,
        sorted(world.state._runs.items()),
        world.state.executors(),
    )
