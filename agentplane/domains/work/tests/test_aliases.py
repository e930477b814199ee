"""Two vocabularies, one meaning."""

import uuid

import pytest

from agentplane.domains.work.aliases import (
    ORIGINAL_TYPE,
    TYPES,
    canonical_data,
    canonical_glob,
    canonical_type,
    correlation_uuid,
    event_uuid,
)
from agentplane.domains.work.streams import FOREIGN, stream_of


@pytest.mark.parametrize(
    ("original", "canonical"),
    [
        ("bead.created", "work_order.created"),
        ("bead.hooked", "work_order.assigned"),
        ("agent.gupp_check", "agent.assignment_checked"),
        ("mol.abandoned", "process.cancelled"),
        ("mail.sent", "mail.sent"),
        ("work_order.closed", "work_order.closed"),
        ("bead.reopened", "work_order.reopened"),
        ("mol.squashed", "process.squashed"),
        ("hook.stolen", "assignment.stolen"),
        ("bead", None),
        ("invoice.paid", None),
        ("work_order", None),
        ("", None),
    ],
)
def test_types_have_one_name(original: str, canonical: str | None) -> None:
    assert canonical_type(original) == canonical


@pytest.mark.parametrize(
    ("glob", "today"),
    [
        ("bead.*", "work_order.*"),
        ("bead.hooked", "work_order.assigned"),
        ("bead.hook*", "work_order.assigned"),
        ("bead.c*", "work_order.c*"),
        ("mol.*", "process.*"),
        ("mol.aband*", "process.cancelled"),
        ("agent.gupp_check", "agent.assignment_checked"),
        ("hook.*", "assignment.*"),
        ("mail.*", "mail.*"),
        ("*", "*"),
        ("*.created", "*.created"),
        ("bead", "bead"),
    ],
)
def test_patterns_of_the_older_vocabulary_find_what_is_stored(glob: str, today: str) -> None:
    assert canonical_glob(glob) == today


def test_no_alias_leads_to_another_alias() -> None:
    assert not set(TYPES.values()) & TYPES.keys()


def test_fields_and_values_of_the_older_vocabulary_are_renamed_and_the_type_is_kept() -> None:
    data = {"bead_id": "gt-1", "from_status": "hooked", "to_status": "closed", "note": "kept"}
    assert canonical_data("bead.status_changed", data) == {
        "work_order_id": "gt-1",
        "from_status": "assigned",
        "to_status": "closed",
        "note": "kept",
        ORIGINAL_TYPE: "bead.status_changed",
    }


def test_a_canonical_event_stays_as_it_is() -> None:
    data = {"work_order_id": "wo-1", "agent": "a/b"}
    assert canonical_data("work_order.assigned", data) == data


def test_both_names_at_once_lose_nothing() -> None:
    found = canonical_data("bead.closed", {"bead_id": "old", "work_order_id": "new"})
    assert (found["work_order_id"], found["bead_id"]) == ("new", "old")


def test_priorities_may_be_words_as_people_say_them() -> None:
    assert canonical_data("bead.created", {"priority": "P0"})["priority"] == 0
    assert canonical_data("bead.updated", {"changes": {"priority": "P4"}})["changes"] == {"priority": 4}


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("pass", "PASS"),
        ("Failed", "FAIL"),
        ("needs-human", "NEEDS_HUMAN"),
        ("needs human", "NEEDS_HUMAN"),
        ("PASS", "PASS"),
        ("maybe", "MAYBE"),
    ],
)
def test_verdicts_may_be_written_as_people_do(word: str, verdict: str) -> None:
    assert canonical_data("verify.verdict", {"verdict": word})["verdict"] == verdict


def test_type_means_the_issue_type_only_where_a_work_order_is_created() -> None:
    assert canonical_data("work_order.created", {"type": "bug"})["issue_type"] == "bug"
    assert canonical_data("work_order.closed", {"type": "bug"}) == {"type": "bug"}


def test_ids_are_the_same_everywhere_and_no_tenants_meet() -> None:
    random = uuid.UUID("8cf91d03-0710-4953-b1d1-9255cb06b132")
    assert event_uuid("acme", str(random)) == random
    assert event_uuid("acme", "evt-1") == event_uuid("acme", "evt-1") != event_uuid("beta", "evt-1")
    derived = uuid.uuid5(uuid.NAMESPACE_URL, "x")
    assert event_uuid("acme", str(derived)) != derived
    assert correlation_uuid("acme", "sprint-1") != correlation_uuid("beta", "sprint-1")
    assert correlation_uuid("acme", str(derived)) == derived


def test_an_event_stands_on_the_stream_of_what_it_is_about() -> None:
    assert stream_of("t", "work_order.closed", {"work_order_id": "wo-1"}, "a").name == "wo-1"
    other = stream_of("t", "work_order.closed", {"work_order_id": "team-a/wo-1"}, "a")
    assert (other.namespace, other.name) == ("team-a", "wo-1")
    assert stream_of("t", "agent.idle", {}, "gastown/slot0").name == "gastown/slot0"
    assert stream_of("t", "agent.nudged", {"agent": "slot1"}, "witness").name == "slot1"
    assert stream_of("t", "invoice.paid", {}, "a").kind == FOREIGN
