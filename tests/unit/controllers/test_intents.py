"""The door for intents: what agrees with itself and with its subject comes in."""

import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.bus.subjects import event_subject
from agentplane.controllers.intents import open_intent, reject
from agentplane.controllers.recording import record_rules, rules_for
from agentplane.domains.work.aliases import event_uuid
from agentplane.errors import Refused
from agentplane.events import cloudevents
from agentplane.events.model import Event, Phase
from agentplane.ids import foreseen_id, is_foreseen
from tests.scenario.world import START, TENANT, World

GOOD = cloudevents.decode(cloudevents.encode(World().intent()))
SUBJECT = event_subject(TENANT, Phase.INTENT, "Run", "run.requested")


def opened(event: Event, subject: str = SUBJECT, tenants: tuple[str, ...] = (TENANT,)) -> Event:
    return open_intent(subject, cloudevents.encode(event), tenants)


def test_a_good_intent_comes_in_as_it_was_sent() -> None:
    assert opened(GOOD) == GOOD


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"stream": replace(GOOD.stream, tenant="rival")}, "intent.tenant"),
        ({"phase": Phase.FACT}, "intent.phase"),
        ({"type": "run.created"}, "intent.type"),
        ({"type_version": 2}, "intent.version"),
        ({"stream": replace(GOOD.stream, kind="Executor")}, "intent.type"),
        ({"stream": replace(GOOD.stream, namespace="other")}, "intent.stream"),
        ({"stream": replace(GOOD.stream, name="Not A Label")}, "intent.stream"),
        ({"stream": replace(GOOD.stream, name="noop-000000000000")}, "intent.stream"),
        ({"actor": "controller:runs"}, "intent.actor"),
        ({"id": foreseen_id("rules/rival/sha256:0")}, "intent.id"),
        ({"actor": "executor:exec-1"}, "intent.actor"),
    ],
)
def test_what_contradicts_itself_stays_outside(change: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        opened(replace(GOOD, **change))
    assert refused.value.code == code


def test_a_subject_of_another_tenant_or_type_is_not_believed() -> None:
    for subject in (SUBJECT.replace(TENANT, "rival"), SUBJECT.replace("requested", "cancel-requested")):
        with pytest.raises(Refused) as refused:
            opened(GOOD, subject, (TENANT, "rival"))
        assert refused.value.code == "intent.subject"


def test_the_alias_is_taken_only_where_there_is_one_tenant() -> None:
    assert opened(GOOD, "eventplane.run.intent") == GOOD
    with pytest.raises(Refused):
        opened(GOOD, "eventplane.run.intent", (TENANT, "rival"))


def test_a_rejection_is_the_same_event_every_time_and_holds_none_of_the_bytes() -> None:
    body = b'{"id": "' + str(uuid.UUID(int=5)).encode() + b'", "note": "a very private note"}'
    refused = Refused("no", code="intent.type")
    one = reject(SUBJECT, body, refused, tenants=(TENANT,), now=START)
    two = reject(SUBJECT, body, refused, tenants=(TENANT,), now=START)
    assert one == two
    (event,) = one.appends[0].events
    assert event.stream.tenant == TENANT
    assert event.data["intentId"] == str(uuid.UUID(int=5))
    assert "private" not in str(event)


def test_a_rejection_of_an_unknown_tenant_goes_to_the_platform() -> None:
    decision = reject("agentplane.nobody.intent.Run.x", b"", Refused("no"), tenants=(TENANT,), now=START)
    assert decision.appends[0].stream.tenant == "system"


def test_what_anybody_can_foretell_has_an_id_that_nobody_can_take() -> None:
    """Everybody's rules are the same, so a tenant could take the id of another's before they are recorded."""
    world = World("exec-1")
    rules = rules_for(TENANT, world.policy, world.scheme.inventory, (30, 30, 30), {})
    event, again, other = (record_rules(tenant, rules, START).events[0] for tenant in (TENANT, TENANT, "rival"))
    assert is_foreseen(event.id)
    assert event.id.variant == uuid.RFC_4122
    assert again.id == event.id != other.id
    assert event_uuid(TENANT, str(event.id)) != event.id  # nor by an import
