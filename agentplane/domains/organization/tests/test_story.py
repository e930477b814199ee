"""Organizations from document to phase, without a store."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentplane.documents.edge import read_document
from agentplane.domains.organization import DOMAIN
from agentplane.domains.organization.projections import ORGANIZATIONS, OrganizationView
from agentplane.domains.registry import Registry
from agentplane.domains.resource import Resource
from agentplane.domains.simulation import Simulation, simulate
from agentplane.domains.specs import read_wish
from agentplane.errors import Refused
from agentplane.events.model import StoredEvent
from agentplane.intents.resources import request_apply, request_delete

REGISTRY = Registry((DOMAIN,))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIXTURE = Path(__file__).parent.parent / "fixtures" / "org.yaml"


def document(**changes: Any) -> dict[str, Any]:
    value = read_document(FIXTURE).value
    return {**value, "spec": {**value["spec"], **changes}}


def apply(value: dict[str, Any], before: Resource | None = None) -> Simulation:
    wish = read_wish(REGISTRY, value, tenant="acme", kind=None, origin="test")
    intent = request_apply(
        uuid.uuid4(),
        stream=wish.stream,
        api_version=wish.request.api_version,
        spec=wish.request.spec,
        actor="user:ada",
        now=NOW,
        labels=wish.request.labels,
    )
    return simulate(REGISTRY, before, intent, NOW)


def types(played: Simulation) -> list[str]:
    return [event.type for step in played.steps for event in step.events]


def test_the_fixture_becomes_active() -> None:
    played = apply(document())
    assert types(played) == ["resource.applied", "resource.status-changed", "organization.activated"]
    assert played.after.status == {"phase": "Active", "observedGeneration": 1}
    assert not any(step.failure for step in played.steps)


@pytest.mark.parametrize(
    ("changes", "phase", "type_"),
    [
        ({"suspended": True}, "Suspended", "organization.suspended"),
        ({"quota": {"concurrentRuns": 65}}, "Rejected", "organization.rejected"),
        ({"quota": {"concurrentRuns": 64}}, "Active", "organization.activated"),
    ],
)
def test_the_phase_follows_the_spec(changes: dict[str, Any], phase: str, type_: str) -> None:
    played = apply(document(**changes))
    assert (played.after.status["phase"], types(played)[-1]) == (phase, type_)


def test_a_change_that_keeps_the_phase_is_no_second_activation() -> None:
    first = apply(document()).after
    again = apply(document(displayName="Acme & Sons"), first)
    assert (again.after.generation, types(again)) == (2, ["resource.applied", "resource.status-changed"])
    assert types(apply(document(displayName="Acme & Sons", suspended=False), again.after)) == []


def test_deletion_waits_for_offboarding() -> None:
    first = apply(document()).after
    intent = request_delete(uuid.uuid4(), stream=apply_stream(), actor="user:ada", now=NOW, reason="left")
    played = simulate(REGISTRY, first, intent, NOW)
    assert types(played) == [
        "resource.deletion-requested",
        "resource.status-changed",
        "organization.offboarded",
        "resource.deleted",
    ]
    assert not played.after.exists


def apply_stream() -> Any:
    return read_wish(REGISTRY, document(), tenant="acme", kind=None, origin="test").stream


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"owner": {"name": "Ada", "email": "nowhere"}}, "spec.owner.email"),
        ({"owner": {"name": "Ada"}}, "spec.owner.email"),
        ({"tier": "gold"}, "spec.tier"),
        ({"domains": ["a.example", "a.example"]}, "domains: each once"),
        ({"quota": {"concurrentRuns": 0}}, "spec.quota.concurrentRuns"),
        ({"colour": "red"}, "spec.colour"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        apply(document(**changes))
    assert refused.value.code == "resource.invalid"
    assert field in refused.value.message


def test_the_projection_knows_since_when_one_is_active() -> None:
    view: OrganizationView | None = None
    events = [event for step in apply(document()).steps for event in step.events]
    for number, event in enumerate(events, 1):
        stored = StoredEvent(event=event, sequence=number, stream_version=number, recorded_at=NOW)
        view = ORGANIZATIONS.apply(view, stored)
    assert view is not None
    assert (view.phase, view.activations, view.active_since, view.owner_email) == ("Active", 1, NOW, "ada@acme.example")
