"""Events that somebody records by hand: control itself holds them to the catalogue, whatever the command line did."""

import uuid
from typing import Any

import pytest

from agentplane.errors import Refused
from agentplane.imports.batches import request_import
from agentplane.imports.model import ImportRequested, Line
from tests.unit.imports.made import NOW, Plane

GOOD = {"work_order_id": "wo-1", "title": "Do it"}


def line(type_: str, data: dict[str, Any], actor: str = "mayor") -> Line:
    return Line(number=1, id="evt-1", type=type_, actor=actor, time=NOW, data=data)


async def handed_in(plane: Plane, told: Line, *, strict: bool = True) -> None:
    wish = ImportRequested(lines=(told,), strict=strict)
    await plane.decide(request_import(uuid.uuid4(), tenant="acme", actor="user:alice", now=NOW, wish=wish))


async def test_what_fits_is_stored_under_its_actor_on_its_stream() -> None:
    plane = Plane()
    await handed_in(plane, line("work_order.created", GOOD))
    events = [stored.event for stored in await plane.store.read(0, 10)]
    (fact,) = [event for event in events if event.type == "work_order.created"]
    assert (fact.actor, fact.stream.kind, fact.stream.name) == ("mayor", "WorkOrder", "wo-1")


async def test_a_foreign_type_is_kept_as_it_is() -> None:
    plane = Plane()
    await handed_in(plane, line("invoice.paid", {"cents": 1}))
    assert "invoice.paid" in [stored.event.type for stored in await plane.store.read(0, 10)]


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (line("work_order.craeted", GOOD), "event.type-unknown"),
        (line("work_order.created", {**GOOD, "titel": "x"}), "event.data-invalid"),
        (line("work_order.created", {**GOOD, "priority": 7}), "event.data-invalid"),
        (line("run.placed", {}), "event.type-reserved"),
        (line("resource.applied", {}), "event.type-reserved"),
        (line("work_order.created", GOOD, actor="controller:runs"), "event.type-reserved"),
    ],
)
async def test_what_does_not_fit_is_refused_and_leaves_nothing(told: Line, code: str) -> None:
    plane = Plane()
    with pytest.raises(Refused) as refused:
        await handed_in(plane, told)
    assert refused.value.code == code
    assert await plane.store.head() == 0
