"""Command lines and query services of different versions: what they can do together, and how they say what not."""

import hashlib
from typing import Any

import msgspec
import pytest

from agentplane import __version__
from agentplane.errors import NotFound, Refused, Transient
from agentplane.queries import protocol as wire
from agentplane.queries.artifacts import ArtifactPiece
from agentplane.queries.asking import answer, asked
from agentplane.queries.attestations import ExecutorKeysGet
from agentplane.queries.imports import EventsKnown
from agentplane.queries.paging import question
from agentplane.queries.protocol import PROTOCOL, RunGet, RunsList
from agentplane.queries.resources import ResourceGet, ResourcesList
from agentplane.queries.views import ViewGet, ViewsCount, ViewsList
from agentplane.runs.model import Wire
from agentplane.runs.protocol import HeartbeatRequest
from tests.scenario.world import Executor


class RunsListOfTomorrow(RunsList, frozen=True, kw_only=True):
    """What a newer command line can ask."""

    colour: str | None = None
    size: int = 3


class Old(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a service of the first version reads, strictly."""

    limit: int = 50


class Answered(Wire, frozen=True, kw_only=True):
    """An answer."""

    name: str


def test_a_question_says_only_what_is_not_default_so_older_services_can_read_it() -> None:
    assert msgspec.json.decode(asked(RunsListOfTomorrow(limit=7)), type=Old).limit == 7
    assert question(asked(RunsListOfTomorrow(limit=7)), RunsList) == RunsList(limit=7)


def test_what_a_service_does_not_know_is_refused_by_name_never_overlooked() -> None:
    with pytest.raises(Refused, match="'colour'") as caught:
        question(asked(RunsListOfTomorrow(colour="red")), RunsList)
    assert caught.value.code == "query.version"
    assert str(PROTOCOL) in (caught.value.hint or "")
    assert question(b'{"limit":2,"colour":null}', RunsList).limit == 2  # null says nothing


def test_a_misspelt_type_is_still_malformed() -> None:
    with pytest.raises(Refused) as caught:
        question(b'{"limit":"two"}', RunsList)
    assert caught.value.code == "query.malformed"


def reply(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)


def test_what_an_answer_has_beyond_us_is_passed_over() -> None:
    assert answer(reply(protocol=PROTOCOL + 1, ok={"name": "a", "news": 1}), Answered, where="q").name == "a"
    assert answer(wire.answered(Answered(name="b")), Answered, where="q").name == "b"


@pytest.mark.parametrize("code", ["query.malformed", "query.unknown"])
def test_an_older_service_that_does_not_understand_is_said_to_be_older(code: str) -> None:
    error = {"class": "Refused", "code": code, "message": "Object contains unknown field `at`"}
    with pytest.raises(
        Refused, match=rf"of an older version \(protocol 1\), this command line is {__version__} "
    ) as caught:
        answer(reply(error=error), Answered, where="q")
    assert caught.value.code == "query.version"
    assert "upgrade the control host" in (caught.value.hint or "")


def test_two_versions_of_one_protocol_are_both_named() -> None:
    error = {"class": "Refused", "code": "query.malformed", "message": "not a question"}
    with pytest.raises(Refused, match=r"runs agentplane 9\.9\.9 .*not a question") as caught:
        answer(reply(protocol=PROTOCOL, version="9.9.9", error=error), Answered, where="q")
    assert caught.value.code == "query.version"
    assert "the same version on both sides" in (caught.value.hint or "")


QUESTIONS = (
    *(wire.RunsList, wire.RunGet, wire.RunLogs, wire.ExecutorsList, wire.EventsList, wire.EventGet, wire.EventsStats),
    *(wire.EvidenceGet, wire.ProjectionsStatus, wire.ProjectionsRebuild),
    *(ArtifactPiece, ExecutorKeysGet, EventsKnown, ResourcesList, ResourceGet, ViewsList, ViewGet, ViewsCount),
)


def test_whoever_adds_to_the_questions_raises_the_protocol() -> None:
    """Otherwise an older service is not recognized. With another PROTOCOL, write its digest here."""
    asked_by_name = {each.__name__: sorted(each.__struct_encode_fields__) for each in QUESTIONS}
    digest = hashlib.sha256(msgspec.json.encode(asked_by_name, order="deterministic")).hexdigest()[:16]
    assert (PROTOCOL, digest) == (4, "fe58762ab91563e9")


def test_an_answer_of_a_newer_service_that_cannot_be_read_says_upgrade_this() -> None:
    with pytest.raises(Refused) as caught:
        answer(reply(protocol=PROTOCOL + 1, ok={"label": "a"}), Answered, where="q")
    assert caught.value.code == "query.version"
    assert "upgrade this command line" in (caught.value.hint or "")


def test_other_errors_are_what_they_are() -> None:
    with pytest.raises(NotFound):
        answer(wire.failed(NotFound("no run", code="run.unknown")), Answered, where="q")
    with pytest.raises(Transient):
        answer(b"[]", Answered, where="q")
    with pytest.raises(Refused) as caught:
        answer(wire.failed(Refused("no", code="query.malformed")), Answered, where="q")
    assert caught.value.code == "query.malformed"  # of our own version: a defect or a mistake, not a skew
    assert asked(RunGet(run="a")) == b'{"run":"a"}'


def test_an_older_control_understands_the_heartbeat_of_a_newer_executor() -> None:
    said = msgspec.to_builtins(Executor("exec-1").heartbeat())
    newer = msgspec.json.encode({**said, "mood": "fine", "facts": {**said["facts"], "gpus": 2}})
    assert msgspec.json.decode(newer, type=HeartbeatRequest) == Executor("exec-1").heartbeat()
