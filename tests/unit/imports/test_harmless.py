"""Whatever one tenant may bring in stops no read model, of which there is one for all tenants."""

import itertools
import random
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from agentplane.clock import EARLIEST
from agentplane.domains import resource
from agentplane.domains.discovery import installed
from agentplane.domains.organization import controllers as organization
from agentplane.errors import Refused
from agentplane.events.model import Event, Phase, StoredEvent
from agentplane.events.origin import is_imported
from agentplane.imports.admit import admit
from agentplane.imports.model import Line
from agentplane.projections.engine import PROJECTIONS, Key, fold
from agentplane.runs import executors, facts
from tests.unit.imports.made import NOW, RULES
from tests.unit.imports.nasty import nasty

REGISTRY = installed().registry
ALL = {**PROJECTIONS, **REGISTRY.projections}
SAID_BY_CONTROL = (
    resource.APPLIED,
    resource.STATUS_CHANGED,
    organization.ACTIVATED,
    "resource.deleted",
    "run.created",
    "run.finished",
    executors.REGISTERED,
    "work_order.announced",
)
GARBAGE: tuple[dict[str, Any], ...] = ({}, {"spec": 5, "owner": 7}, {"state": {}, "patch": 3, "at": "never"})


def line(type_: str, data: dict[str, Any], **said: Any) -> Line:
    fields: dict[str, Any] = {"number": 1, "id": str(uuid.uuid4()), "actor": "m", "time": NOW}
    return Line(**{**fields, "type": type_, "data": data, **said})


def taken(line: Line) -> Event | None:
    try:
        return admit(line, RULES, {}, (), NOW).event
    except Refused:
        return None


class Views:
    """Every read model, one event at a time, as its tables keep it."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Key, Any]] = {name: {} for name in ALL}
        self._sequence = 0

    def take(self, event: Event) -> None:
        self._sequence += 1
        stored = StoredEvent(event=event, sequence=self._sequence, stream_version=self._sequence, recorded_at=NOW)
        for name, projection in ALL.items():
            done = fold(projection, self._known[name], (stored,), self._sequence - 1)
            assert done.poison is None, (name, event.type, event.data)
            assert done.position == self._sequence
            for key, view in done.changed.items():
                self._known[name][key] = msgspec.json.decode(msgspec.json.encode(view), type=projection.type)


def test_made_up_words_of_a_control_plane_stop_nothing() -> None:
    views, count = Views(), 0
    kinds = (*REGISTRY.kinds, facts.RUN_KIND, "Executor", None)
    for type_, kind, phase, data in itertools.product(SAID_BY_CONTROL, kinds, Phase, GARBAGE):
        event = taken(line(type_, data, kind=kind, name="n", phase=phase))
        if event is not None:
            assert is_imported(event.stream) or event.stream.kind not in REGISTRY.kinds
            views.take(event)
            count += 1
    assert count > len(SAID_BY_CONTROL)


@pytest.mark.parametrize("seed", range(3))
def test_facts_with_the_oddest_data_that_fit_stop_nothing(seed: int) -> None:
    draw, views, count = random.Random(seed), Views(), 0  # noqa: S311 - repeatable
    types = {name: msgspec.inspect.type_info(each.data) for name, each in REGISTRY.facts.items()}
    for name in sorted(types) * 8:
        event = taken(line(name, nasty(types[name], draw), time=NOW - timedelta(days=draw.randrange(900))))
        if event is not None:
            views.take(event)
            count += 1
    assert count > len(types)


@pytest.mark.parametrize(
    "time",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23))),  # before the first year, by UTC
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1),  # noqa: DTZ001 - on purpose
    ],
)
def test_no_time_is_stored_that_could_not_be_read_back(time: datetime) -> None:
    with pytest.raises(Refused) as caught:
        admit(line("sling.x", {}, time=time), RULES, {}, (), NOW)
    assert caught.value.code == "import.time"


def test_the_earliest_time_is_stored() -> None:
    assert admit(line("sling.x", {}, time=EARLIEST), RULES, {}, (), NOW).event.time == EARLIEST
