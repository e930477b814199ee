"""A domain of somebody else brings facts and views: declared, checked against the others, found by their words."""

from typing import Any

import msgspec
import pytest

from agentplane.domains.discovery import OURS
from agentplane.domains.facts import FactType, check, find
from agentplane.domains.model import Domain
from agentplane.domains.registry import Registry
from agentplane.domains.views import View
from agentplane.errors import NotFound, Refused
from agentplane.events.model import StoredEvent, StreamId
from agentplane.imports.model import Line
from agentplane.imports.shaping import rules_of, shaped
from agentplane.projections.engine import Projection
from agentplane.runs.model import Wire
from tests.domains import NOW


class Commented(msgspec.Struct, frozen=True, kw_only=True):
    ticket: str
    text: str


class Comments(Wire, frozen=True, kw_only=True):
    tenant: str
    kind: str = "Comments"
    namespace: str = "default"
    name: str
    count: int = 0


def stream(tenant: str, _: str, data: dict[str, Any], __: str) -> StreamId:
    return StreamId(tenant, "TicketTalk", "default", str(data.get("ticket", "none")))


def key(stored: StoredEvent) -> tuple[str, ...] | None:
    event = stored.event
    return (event.stream.tenant, "Comments", "default", event.stream.name) if event.type == "talk.commented" else None


def apply(view: Comments | None, stored: StoredEvent) -> Comments:
    stream = stored.event.stream
    known = view or Comments(tenant=stream.tenant, name=stream.name)
    return msgspec.structs.replace(known, count=known.count + 1)


FACT = FactType(name="talk.commented", data=Commented, stream=stream, description="Somebody said something.")
VIEW = View(
    plural="comments",
    singular="comment",
    projection=Projection("comments", 1, Comments, key, apply),
    columns=(("count", "count"),),
)
TALK = Domain(name="talk", facts=(FACT,), views=(VIEW,))


def test_they_stand_beside_ours() -> None:
    registry = Registry((*OURS, TALK))
    assert registry.view("COMMENT") is VIEW
    assert registry.view("organizations") is None
    assert "comments" in registry.projections
    assert find(registry.facts, "talk.commented") is FACT
    with pytest.raises(NotFound, match="no event type"):
        find(registry.facts, "talk.comented")
    with pytest.raises(Refused, match="text"):
        check(FACT, {"ticket": "t-1"})


def test_an_event_of_theirs_is_recorded_on_the_stream_they_say() -> None:
    rules = rules_of("acme", Registry((*OURS, TALK)))
    line = Line(number=1, id="c-1", type="talk.commented", actor="ada", time=NOW, data={"ticket": "t-1", "text": "hi"})
    event = shaped(line, rules)
    assert (event.stream.kind, event.stream.name, event.actor) == ("TicketTalk", "t-1", "ada")


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (Domain(name="b", facts=(FACT,)), "taken"),
        (Domain(name="b", facts=(FactType(name="mail.lost", data=Commented, stream=stream),)), "taken"),
        (Domain(name="b", facts=(FactType(name="run.placed", data=Commented, stream=stream),)), "may be recorded"),
        (Domain(name="b", facts=(FactType(name="Talk", data=Commented, stream=stream),)), "may be recorded"),
        (Domain(name="b", views=(VIEW,)), "taken"),
        (Domain(name="b", views=(View(plural="runs", singular="r", projection=VIEW.projection, columns=()),)), "taken"),
        (
            Domain(
                name="b",
                views=(
                    View(
                        plural="agents", singular="x", projection=Projection("x", 1, Comments, key, apply), columns=()
                    ),
                ),
            ),
            "taken",
        ),
        (
            Domain(
                name="b",
                views=(
                    View(plural="A B", singular="x", projection=Projection("x", 1, Comments, key, apply), columns=()),
                ),
            ),
            "lower-case",
        ),
    ],
)
def test_what_is_taken_or_no_word_is_refused(domain: Domain, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        Registry((*OURS, TALK, domain))
    assert refused.value.code == "domain.invalid"
