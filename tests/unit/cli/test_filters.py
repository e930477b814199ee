"""Filters of `agentplane events`, as a question has them."""

import uuid
from types import SimpleNamespace
from typing import Any

import click
import pytest

from agentplane.cli import context
from agentplane.cli.events_options import filters
from agentplane.domains.work.aliases import correlation_uuid
from agentplane.errors import Denied

NOTHING: dict[str, Any] = dict.fromkeys(("type", "actor", "kind", "name", "phase", "correlation", "tenant"))


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


def test_another_tenant_is_denied() -> None:
    assert asked(tenant="acme")["phase"] is None
    with pytest.raises(Denied):
        asked(tenant="beta")
