"""What becomes of imported lines: once, in order, without authority, and all or nothing."""

import random
import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplane.controllers.state import ControlState
from agentplane.domains.discovery import installed
from agentplane.domains.tasks import tasks_for
from agentplane.errors import AgentplaneError, Refused
from agentplane.events.model import Phase, StreamId
from agentplane.events.origin import is_imported
from agentplane.ids import EventId
from agentplane.imports.batches import request_import
from agentplane.imports.model import ImportRequested
from agentplane.projections.engine import PROJECTIONS
from tests.unit.imports.made import NOW, Plane, exported, exported_plain, flat, lines_of, native, record

TYPES = ("bead.created", "bead.closed", "work_order.updated", "agent.started", "mail.sent")


def history(count: int = 12) -> list[dict[str, Any]]:
    return [flat(number, seconds=number // 3) for number in range(count)]


async def test_new_lines_are_stored_and_told_again_are_not() -> None:
    plane = Plane()
    (first,) = await plane.take(lines_of(history()))
    assert (first["stored"], first["duplicates"], first["refused"]) == (12, 0, 0)
    before = await plane.state()
    (again,) = await plane.take(lines_of(history()))
    assert (again["stored"], again["duplicates"], again["refused"]) == (0, 12, 0)
    assert await plane.state() == before


async def test_a_batch_that_comes_again_changes_nothing() -> None:
    plane = Plane()
    wish = ImportRequested(lines=tuple(lines_of(history())))
    intent = request_import(uuid.UUID(int=1), tenant="acme", actor="user:alice", now=NOW, wish=wish)
    await plane.decide(intent)
    head = await plane.store.head()
    await plane.decide(intent)
    assert await plane.store.head() == head


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), again=st.lists(st.integers(0, 11), max_size=10))
async def test_shuffled_and_repeated_lines_give_the_same_state(seed: int, again: list[int]) -> None:
    documents = history()
    straight, mixed = Plane(), Plane()
    await straight.take(lines_of(documents))
    shuffled = documents + [documents[index] for index in again]
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    await mixed.take(lines_of(shuffled))
    assert await mixed.state() == await straight.state()
    for projection in installed().registry.projections.values():
        assert await views(mixed, projection) == await views(straight, projection)


async def views(plane: Plane, projection: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for stored in await plane.events():
        if (key := projection.key(stored)) is not None:
            found[key] = projection.apply(found.get(key), stored)
    return found


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
async def test_an_export_of_ours_keeps_its_own_order_however_it_is_shuffled(seed: int) -> None:
    source, target = Plane(), Plane()
    told = await record(source.store, *(native(number) for number in range(1, 15)))
    lines = exported(told)
    random.Random(seed).shuffle(lines)  # noqa: S311 - an order, not a secret
    await target.take(lines)
    assert [each.event.data["n"] for each in await target.events()] == list(range(1, 15))


async def test_within_one_moment_causes_stand_before_effects() -> None:
    plane = Plane()
    chain = [{**flat(n, seconds=0), "caused_by": f"evt-{n + 1:04d}" if n < 9 else None} for n in range(10)]
    await plane.take(lines_of(chain))
    assert [each.event.data["original_id"] for each in await plane.events()] == [
        f"evt-{n:04d}" for n in reversed(range(10))
    ]


async def test_our_export_into_the_same_log_is_known_already() -> None:
    plane = Plane()
    told = await record(plane.store, *(native(number) for number in range(1, 8)), native(99, id=EventId(uuid.uuid4())))
    for lines in (exported(told), exported_plain(told)):
        (report,) = await plane.take(lines)
        assert (report["stored"], report["duplicates"]) == (0, 8)


async def test_our_export_elsewhere_is_history_and_drives_nothing() -> None:
    source, target = Plane(), Plane()
    wish = native(1, "run.requested", phase=Phase.INTENT, actor="user:eve")
    told = await record(source.store, wish, *(native(number) for number in range(2, 8)))
    (report,) = await target.take(exported(told))
    assert report["stored"] == 7
    found = await target.events()
    state = ControlState()
    for stored in await target.store.read(0):
        state.apply(stored)
        assert tasks_for(installed().registry, stored) == ()
    assert list(state.census()) == []
    assert all(is_imported(each.event.stream) for each in found)
    assert [each.event.phase for each in found] == [each.event.phase for each in told]
    assert [each.event.type for each in found] == [each.event.type for each in told]
    ids = {each.event.id for each in found}
    assert all(each.event.causation_id in ids for each in found[1:])  # the chain is whole, under new ids
    assert PROJECTIONS["runs"].key(found[1]) is None
    (again,) = await target.take(exported(found))  # history of history is the same history
    assert (again["stored"], again["duplicates"]) == (0, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "run.finished"},
        {"type": "resource.applied", "stream": StreamId("acme", "Organization", "default", "acme")},
        {"type": "ticket.assigned", "stream": StreamId("acme", "Organization", "default", "acme")},
        {"type": "intent.rejected", "actor": "user:eve"},
        {"type": "gate.approved", "actor": "user:eve"},
        {"type": "controller.dead-lettered"},
        {"type": "work_order.closed", "actor": "controller:runs"},
        {"type": "work_order.closed", "actor": "executor:exec-1"},
        {"type": "thing.wanted", "phase": Phase.INTENT, "actor": "user:eve"},
        {"type": "thing.changed", "actor": "user:eve"},  # on a run's stream
    ],
)
async def test_nothing_speaks_with_authority_that_it_does_not_have(changes: dict[str, Any]) -> None:
    target = Plane()
    await record(target.store, native(2))
    before = await target.store.read_stream(native(2).stream)
    source = Plane()
    data = {"work_order_id": "gt-1"} if changes["type"] == "work_order.closed" else {"n": 1}
    await target.take(exported(await record(source.store, native(4, data=data, causation_id=None, **changes))))
    (_, found) = await target.events()
    assert found.event.stream.namespace == "imported.default"
    assert await target.store.read_stream(native(2).stream) == before
    assert tasks_for(installed().registry, found) == ()


async def test_an_id_that_a_controller_will_derive_cannot_be_taken_before() -> None:
    target, source = Plane(), Plane()
    derived = native(5)
    await target.take(exported(await record(source.store, native(5, type_="thing.changed", data={"evil": True}))))
    await record(target.store, derived)  # would be a conflict
    assert derived.id in {each.event.id for each in await target.events()}


async def test_the_same_id_with_another_body_is_a_conflict_that_shows_both_digests() -> None:
    plane = Plane()
    await plane.take(lines_of([flat(1)]))
    before = await plane.store.head()
    with pytest.raises(Refused) as caught:
        await plane.take(lines_of([flat(1, title="Another title"), flat(2)]))
    assert caught.value.code == "import.conflict"
    assert caught.value.message.count("sha256:") == 2
    assert await plane.store.head() == before
    (report,) = await plane.take(lines_of([flat(1, title="Another title"), flat(2)]), skip=True)
    assert (report["stored"], report["refused"], report["reasons"][0]["code"]) == (1, 1, "import.conflict")
    assert report["reasons"][0]["number"] == 1


async def test_two_tenants_with_the_same_ids_do_not_meet() -> None:
    acme = Plane("acme")
    globex = Plane("globex", acme.store)
    same = {**flat(1), "event_id": str(uuid.uuid4())}
    await acme.take(lines_of([same]))
    other = {**same, "data": {**same["data"], "title": "Of another tenant"}}
    (report,) = await globex.take(lines_of([other], tenant="globex"))
    assert (report["stored"], report["duplicates"], report["refused"]) == (1, 0, 0)
    (again,) = await globex.take(lines_of([other], tenant="globex"))
    assert (again["stored"], again["duplicates"]) == (0, 1)


SECRET = "ghp_" + "a" * 36


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (flat(1, note=SECRET), "store.secret"),
        (flat(1, password="hunter2-hunter2"), "store.secret"),
        (flat(1, text="x" * 1_060_000), "store.too-large"),
        (flat(1, seconds=86_400 + 301), "store.future"),
        (flat(1, priority="high"), "event.data-invalid"),
        ({**flat(1), "data": {"bead_id": ["x"]}}, "event.data-invalid"),
    ],
)
async def test_what_may_not_be_stored_has_a_defined_end(document: dict[str, Any], code: str) -> None:
    plane = Plane()
    with pytest.raises(AgentplaneError) as caught:
        await plane.take(lines_of([flat(2), document]))
    assert caught.value.code == code
    assert SECRET not in str(caught.value) + str(caught.value.hint)
    assert "hunter2" not in str(caught.value)
    assert await plane.store.head() == 0  # all or nothing
    reports = await plane.take(lines_of([flat(2), document]), skip=True)
    assert [sum(each[count] for each in reports) for count in ("stored", "refused")] == [1, 1]
    assert [reason["code"] for each in reports for reason in each["reasons"]] == [code]
    assert SECRET not in str(reports)


async def test_unknown_types_are_kept() -> None:
    plane = Plane()
    await plane.take(lines_of([flat(1, "weather.changed"), flat(2, "mail.forwarded", message_id="m-1")]))
    found = [(stored.event.type, str(stored.event.stream)) for stored in await plane.events()]
    assert found == [
        ("weather.changed", "acme/Foreign/default/weather"),
        ("mail.forwarded", "acme/WorkMail/default/m-1"),
    ]


async def test_an_unknown_type_does_not_come_onto_the_stream_of_a_resource() -> None:
    plane = Plane()
    await plane.take(lines_of([flat(1, "work_order.exploded", work_order_id="wo-1")]))
    (stored,) = await plane.events()
    assert str(stored.event.stream) == "acme/Foreign/default/work_order"
    assert tasks_for(installed().registry, stored) == ()


async def test_a_batch_has_a_limit_whoever_sends_it() -> None:
    plane = Plane()
    wish = ImportRequested(lines=tuple(lines_of([flat(number) for number in range(501)])))
    intent = request_import(uuid.UUID(int=2), tenant="acme", actor="user:eve", now=NOW, wish=wish)
    with pytest.raises(Refused) as caught:
        await plane.decide(intent)
    assert caught.value.code == "import.batch"


async def test_five_minutes_ahead_is_the_difference_of_two_clocks() -> None:
    plane = Plane()
    edge = {**flat(1), "timestamp": (NOW + timedelta(minutes=5)).isoformat()}
    (report,) = await plane.take(lines_of([edge]))
    assert report["stored"] == 1
