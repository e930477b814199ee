"""Filters of `agentplane events`, as a question has them."""

import uuid
from types import SimpleNamespace
from typing import Any

import click
import pytest

from agentplane.cli import context
from agentplane.cli.events_options import filters
from agentplane.domains.work.aliases import correlation_uuid
from agentplane.errors import Denied, Refused

FIELDS = ("type", "actor", "kind", "namespace", "name", "phase", "correlation", "tenant")
NOTHING: dict[str, Any] = dict.fromkeys(FIELDS)


@pytest.fixture(autouse=True)
def _acme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "current", lambda _: SimpleNamespace(tenant="acme"))


def asked(**given: str) -> dict[str, Any]:
    return filters(click.Context(click.Command("list")), {**NOTHING, **given})


def test_a_correlation_is_ours_or_its_sources_word() -> None:
    ours = uuid.uuid4()
    assert asked(correlation=str(ours))["correlation"] == ours
    assert asked(correlation="conv-xyz789")["correlation"] == correlation_uuid("acme", "conv-xyz789")
    assert asked()["correlation"] is None


def test_types_may_be_called_as_vermas_called_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(type="bead.*")["type"] == "work_order.*"
    assert capsys.readouterr().err == "bead.* is called work_order.* here\n"
    assert asked(type="run.*")["type"] == "run.*"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("word", ["workitem", "workitems", "workorders", "WorkOrder"])
def test_a_kind_may_be_called_by_its_read_model(word: str) -> None:
    assert asked(kind=word)["kind"] == "WorkOrder"


@pytest.mark.parametrize("word", ["Run", "runs", "RUN"])
def test_a_kind_may_be_called_as_people_call_it(word: str) -> None:
    assert asked(kind=word)["kind"] == "Run"
    assert asked(kind="Mailbox-of-somebody")["kind"] == "Mailbox-of-somebody"


def test_a_wrong_place_is_told_with_its_option_and_the_three_forms() -> None:
    with pytest.raises(Refused) as caught:
        asked(until="yesterday")
    assert caught.value.where == "--until"
    for words in ("a sequence number", "a span before now", "a time"):
        assert words in str(caught.value.hint)


def test_another_tenant_is_denied() -> None:
    assert asked(tenant="acme")["phase"] is None
    with pytest.raises(Denied):
        asked(tenant="beta")
