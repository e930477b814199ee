"""The catalogue: every type has a schema that takes what its struct takes, and refusals name what was meant."""

import re
from typing import Any

import jsonschema_rs
import pytest

from agentplane.domains.facts import FactType, check, find, json_schema
from agentplane.domains.work.catalogue import DATA, FACTS
from agentplane.domains.work.facts.agents import AssignmentChecked
from agentplane.domains.work.facts.processes import Created, Step
from agentplane.domains.work.facts.verification import Audited
from agentplane.domains.work.streams import KINDS, stream_of
from agentplane.domains.work.tests.test_projections import STORY
from agentplane.errors import NotFound, Refused

BY_NAME = {each.name: each for each in FACTS}
FAMILIES = [
    "work_order",
    "mail",
    "agent",
    "process",
    "verify",
    "assignment",
    "patrol",
    "metrics",
    "compliance",
    "decision",
    "sprint",
    "objective",
]


def test_all_families_are_there() -> None:
    assert {each.family for each in FACTS} == set(FAMILIES)
    assert len(KINDS) == len(FAMILIES)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_a_type_says_what_it_is_and_has_a_schema(fact: FactType) -> None:
    schema = json_schema(fact)
    jsonschema_rs.meta.validate(schema)
    assert schema["title"] == fact.name
    assert fact.description
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", fact.name)
    if fact.family in {"work_order", "verify"}:
        assert "work_order_id" in schema["required"]


@pytest.mark.parametrize("event", STORY, ids=lambda event: event.type)
def test_struct_and_schema_agree_about_a_story(event: Any) -> None:
    fact = BY_NAME[event.type]
    check(fact, event.data)
    schema = jsonschema_rs.validator_for(json_schema(fact))
    assert schema.is_valid(event.data)
    for name in json_schema(fact).get("required", []):
        less = {key: value for key, value in event.data.items() if key != name}
        assert not schema.is_valid(less)
        with pytest.raises(Refused, match=name):
            check(fact, less)


@pytest.mark.parametrize(
    ("type_", "data", "words"),
    [
        ("work_order.created", {"work_order_id": "w", "title": "t", "priority": 5}, "<= 4"),
        ("work_order.created", {"work_order_id": "w", "title": ""}, "title"),
        ("work_order.created", {"work_order_id": "w\n", "title": "t"}, "work_order_id"),
        ("work_order.status_changed", {"work_order_id": "w", "to_status": "merged"}, "to_status"),
        ("work_order.updated", {"work_order_id": "w", "changes": {"priority": -1}}, "priority"),
        ("agent.assignment_checked", {"response_ms": "quick"}, "response_ms"),
        ("verify.verdict", {"work_order_id": "w", "verdict": "MAYBE"}, "verdict"),
        ("compliance.waived", {"rule_id": "R", "waiver": {"expires_at": "soon"}}, "expires_at"),
        ("mail.sent", {"message_id": "m", "to": "a", "form": "b"}, "did you mean 'from'"),
    ],
)
def test_what_does_not_fit_is_named_without_its_value(type_: str, data: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        check(BY_NAME[type_], data)
    assert refused.value.code == "event.data-invalid"
    assert "MAYBE" not in str(refused.value)


def test_an_unknown_type_of_a_known_family_is_refused_with_near_names_and_a_foreign_one_is_nobodys() -> None:
    with pytest.raises(NotFound) as unknown:
        find(BY_NAME, "work_order.asigned")
    assert "work_order.assigned" in (unknown.value.hint or "")
    assert find(BY_NAME, "invoice.paid") is None
    assert find(BY_NAME, "mail.sent") is BY_NAME["mail.sent"]


def test_every_family_has_a_stream() -> None:
    for name in DATA:
        assert stream_of("t", name, {}, "somebody").kind in KINDS


def test_a_null_is_as_good_as_nothing_said() -> None:
    check(BY_NAME["work_order.closed"], {"work_order_id": "w", "reason": None, "ending": None})
    with pytest.raises(Refused, match="work_order_id"):
        check(BY_NAME["work_order.closed"], {"work_order_id": None})


@pytest.mark.parametrize(
    ("word", "verdict"),
    [("PASS", "PASS"), ("fail", "FAIL"), ("needs human", "NEEDS_HUMAN"), ("passed", "PASS"), ("unclear", None)],
)
def test_an_assessment_may_be_in_other_words(word: str, verdict: str | None) -> None:
    assert Audited(work_order_id="w", assessment=word).verdict == verdict


@pytest.mark.parametrize(
    ("response_ms", "prompt"), [(29_999, True), (30_000, False), ("29999.9", True), ("31000.5", False), (None, False)]
)
def test_a_response_may_have_a_fraction(response_ms: int | str | None, prompt: bool) -> None:
    check(BY_NAME["assignment.checked"], {"response_ms": response_ms})
    assert AssignmentChecked(response_ms=response_ms).prompt is prompt


def test_the_steps_of_a_process_may_be_ids_alone() -> None:
    created = Created(process_id="p", steps=("a", Step(id="b", needs=("a",)), "a"))
    assert [(step.id, step.needs) for step in created.plan] == [("a", ()), ("b", ("a",))]
