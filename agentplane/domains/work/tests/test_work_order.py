"""A work order as a document: what is said of it, and what its facts say to it."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentplane.domains.facts import check
from agentplane.domains.reconciling import conclude
from agentplane.domains.registry import Registry
from agentplane.domains.resource import Resource
from agentplane.domains.simulation import Simulation, simulate
from agentplane.domains.specs import read_wish
from agentplane.domains.state import Resources
from agentplane.domains.tasks import tasks_for
from agentplane.domains.work import DOMAIN
from agentplane.domains.work.tests.streams_of_events import happened
from agentplane.errors import Refused
from agentplane.events.model import Event, StoredEvent
from agentplane.intents.resources import request_apply

REGISTRY = Registry((DOMAIN,))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORDER = yaml.safe_load((Path(__file__).parents[1] / "fixtures" / "work-order.yaml").read_text())


def applied(before: Resource | None = None, namespace: str = "default", **spec: Any) -> Simulation:
    metadata = {**ORDER["metadata"], "namespace": namespace}
    document = {**ORDER, "metadata": metadata, "spec": {**ORDER["spec"], **spec}}
    wish = read_wish(REGISTRY, document, tenant="acme", kind=None, origin="test")
    intent = request_apply(
        uuid.uuid4(),
        stream=wish.stream,
        api_version=wish.request.api_version,
        spec=wish.request.spec,
        actor="user:ada",
        now=NOW,
    )
    return simulate(REGISTRY, before, intent, NOW)


def facts(simulation: Simulation) -> list[Event]:
    return [event for step in simulation.steps for event in step.events if event.type.startswith("work_order.")]


def test_a_new_document_is_created_and_assigned_as_the_catalogue_has_it() -> None:
    done = applied()
    said = facts(done)
    assert [event.type for event in said] == ["work_order.created", "work_order.assigned"]
    for event in said:
        check(REGISTRY.facts[event.type], event.data)
        assert event.data["work_order_id"] == "wo-rate-limit"
    assert done.after.status["phase"] == "assigned"
    assert done.after.status["assignee"] == "project-a/worker-1"


def test_only_what_changed_is_said() -> None:
    first = applied()
    again = applied(first.after, priority=0)
    assert [(event.type, event.data.get("changes")) for event in facts(again)] == [
        ("work_order.updated", {"priority": 0})
    ]
    check(REGISTRY.facts["work_order.updated"], facts(again)[0].data)
    assert facts(applied(first.after)) == []
    other = applied(first.after, assignee="project-a/worker-2")
    assert [event.type for event in facts(other)] == ["work_order.assigned"]
    nobody = applied(first.after, assignee=None)
    assert [event.data["changes"] for event in facts(nobody)] == [{"assignee": None}]


def test_in_another_namespace_its_id_says_so() -> None:
    assert {event.data["work_order_id"] for event in facts(applied(namespace="team-a"))} == {"team-a/wo-rate-limit"}


def test_a_fact_from_anybody_moves_its_status_unless_a_newer_one_has_spoken() -> None:
    resource = applied().after
    late = happened("work_order.closed", 86_400 * 30, actor="a", work_order_id="wo-rate-limit")
    early = happened(
        "work_order.status_changed", -86_400 * 30, actor="a", work_order_id="wo-rate-limit", to_status="open"
    )
    closed = told(resource, late)
    assert closed is not None
    assert closed["phase"] == "closed"
    assert told(resource, early) is None


@pytest.mark.parametrize("spec", [{"priority": 5}, {"priority": -1}, {"title": ""}, {"issueType": "chore"}, {"x": 1}])
def test_a_document_that_does_not_fit_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        applied(**spec)


def told(resource: Resource, event: Event) -> dict[str, Any] | None:
    """The status patch that follows from a fact on the document's stream."""
    assert resource.uid is not None
    world = Resources()
    world.put(event.stream, resource)
    stored = StoredEvent(event=event, sequence=10_000, stream_version=100, recorded_at=NOW)
    patches = []
    for task in tasks_for(REGISTRY, stored):
        concluded = conclude(REGISTRY, world, task, NOW)
        assert not concluded.failure
        if concluded.decision is not None:
            patches.append(dict(concluded.decision.status))
    return patches[0] if patches else None
