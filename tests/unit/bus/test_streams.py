"""Which subjects a stream keeps."""

import pytest

from agentplane.bus import subjects
from agentplane.bus.streams import STREAMS, matches, stream_of
from agentplane.bus.subjects import EVENTS, INTENTS, LOGS, STREAM_SUBJECTS
from agentplane.events.model import Phase


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.b.>", "a.b", False),
        ("*.b.>", "a.b.c.d", True),
    ],
)
def test_patterns_match_as_nats_matches(pattern: str, subject: str, *, expected: bool) -> None:
    assert matches(pattern, subject) is expected


def test_every_kind_of_subject_has_its_stream() -> None:
    assert stream_of(subjects.event_subject("acme", Phase.INTENT, "Run", "run.requested")) == INTENTS
    assert stream_of(subjects.event_subject("acme", Phase.FACT, "Run", "run.placed")) == EVENTS
    assert stream_of(subjects.event_subject("acme", Phase.INTERNAL, "Run", "run.step")) == EVENTS
    assert stream_of(subjects.report("exec-1")) == INTENTS
    assert stream_of(subjects.log("exec-1", "default", "run-1")) == LOGS
    assert stream_of("eventplane.run.intent") == INTENTS


@pytest.mark.parametrize("subject", [subjects.heartbeat("e"), subjects.wake("e"), subjects.query("acme", "runs-list")])
def test_questions_and_nudges_are_not_kept(subject: str) -> None:
    assert stream_of(subject) is None


def test_every_stream_is_defined_and_only_work_refuses_when_full() -> None:
    assert set(STREAMS) == set(STREAM_SUBJECTS)
    assert {name for name, spec in STREAMS.items() if spec.discard == "new"} == {INTENTS}
    assert STREAMS[INTENTS].config()["retention"] == "workqueue"
