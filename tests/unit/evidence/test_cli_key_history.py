"""The command line and control's key history: asked for, checked, and done without where nobody answers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import click
import msgspec
import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.cli import context as contexts
from agentplane.cli import key_history
from agentplane.errors import NotFound, Refused, Tampered, Transient
from agentplane.queries import protocol as wire
from tests.unit.evidence.conftest import signer_for
from tests.unit.evidence.story import Story
from tests.unit.evidence.test_cli_export import row
from tests.unit.evidence.test_key_history import FIRST, ONLY_CONTROL, history, signed

CONTEXT = click.Context(click.Command("export"))
Answers = Callable[[bytes | None], None]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Let control answer with these bytes; None: nobody is there."""

    def answer(data: bytes | None) -> None:
        @asynccontextmanager
        async def connected(_: object) -> AsyncIterator[MemoryBus]:
            bus = MemoryBus()

            async def respond(_: str, __: bytes) -> bytes:
                return data or b""

            if data is not None:
                await bus.respond("agentplane-attest.acme.executor-keys", respond)
            yield bus

        monkeypatch.setattr(contexts, "connected", connected)

    monkeypatch.setattr(contexts, "state_dir", lambda _: None)
    monkeypatch.setattr(contexts, "load_context", lambda _: SimpleNamespace(tenant="acme"))
    return answer


def test_what_control_vouches_for_is_trusted(answers: Answers) -> None:
    envelope = signed(history(Story().records()))
    answers(wire.answered(msgspec.Raw(envelope)))
    trusted, found = key_history.asked(CONTEXT, "hello-0001", ONLY_CONTROL)
    assert found == envelope
    assert trusted.find(FIRST.key_id).identity == "executor/exec-1"


def test_without_an_answer_the_own_keys_are_all(answers: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    answers(None)
    assert key_history.asked(CONTEXT, "hello-0001", ONLY_CONTROL) == (ONLY_CONTROL, None)
    assert "no key history: " in capsys.readouterr().err
    answers(wire.failed(NotFound("no such run", code="run.unknown")))
    assert key_history.asked(CONTEXT, "hello-0001", ONLY_CONTROL) == (ONLY_CONTROL, None)
    assert capsys.readouterr().err == ""  # it was refused: there is nothing to know


def test_an_export_that_needs_one_does_not_go_without(answers: Answers) -> None:
    answers(None)
    with pytest.raises(Transient) as caught:
        key_history.asked(CONTEXT, "hello-0001", ONLY_CONTROL, needed=True)
    assert caught.value.code == "evidence.no-key-history"
    assert "--without-key-history" in (caught.value.hint or "")
    answers(wire.failed(NotFound("no such run", code="run.unknown")))
    assert key_history.asked(CONTEXT, "hello-0001", ONLY_CONTROL, needed=True) == (ONLY_CONTROL, None)


def test_an_answer_about_another_run_or_by_somebody_else_is_not_taken(answers: Answers) -> None:
    answers(wire.answered(msgspec.Raw(signed(history(Story().records())))))
    with pytest.raises(Refused) as refused:
        key_history.asked(CONTEXT, "hello-0002", ONLY_CONTROL)
    assert refused.value.code == "evidence.key-history"
    answers(wire.answered(msgspec.Raw(signed(history(Story().records()), signer_for("control", seed=4)))))
    with pytest.raises(Tampered):
        key_history.asked(CONTEXT, "hello-0001", ONLY_CONTROL)


def test_marked_rows_are_taken_along_as_far_as_they_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    reported = [record for record in story.records() if record.identity != "control"][:2]
    rows = [replace(row(number, record), mark="key-revoked") for number, record in enumerate(reported, start=1)]
    assert key_history.marked_records([*rows, row(3, story.records()[-1])], story.keys()) == tuple(reported)
    assert key_history.marked_records(rows, ONLY_CONTROL) == ()
    assert capsys.readouterr().err.count("left out, a marked") == 2
