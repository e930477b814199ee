"""Step over what ran: pins.json is what control decided about, and whatever was reported agrees with it. Pure."""

from typing import Any

import msgspec

from agentplane.canonical import digest_bytes
from agentplane.errors import Tampered
from agentplane.evidence.export import PINS
from agentplane.evidence.steps.case import Case, member
from agentplane.replays.compare import compare
from agentplane.runs.model import Expected, Pins
from agentplane.runs.pinned import BACKEND_CAP, DIGEST_CAP


def pins(case: Case) -> str:
    """pins.json is sealed by the decision's digest; bundle, decision, reports and replay verdict agree with it."""
    if case.refused:
        if case.export.pins is not None:
            raise _differs("it was refused, so nothing can have been pinned")
        return "refused by validation: nothing was pinned"
    pinned = case.pinned
    found, decided = digest_bytes(case.export.pins or b""), case.artifact("PlacementDecision")
    if (sealed := member(decided, "caps", DIGEST_CAP)) != found:
        raise _differs(f"control decided about {sealed}, this is {found}")
    _check_bundle(case, pinned.pins)
    _check_placement(case, pinned.pins, decided)
    _check_reports(case, pinned.pins)
    _check_guest(case, pinned.replay_guest.spec.path if pinned.replay_guest else None)
    _check_replay(case, pinned.expected)
    return f"{pinned.pins.source.path}, {len(pinned.pins.inputs)} inputs, seed {pinned.pins.seed}"


def _check_bundle(case: Case, said: Pins) -> None:
    statement = case.records[-1].statement
    _same("the bundle's name", said.bundle, statement.bundle)
    _same("the bundle's digest", said.bundle_digest, statement.bundle_digest)
    policy = member(case.bundle, "spec", "policy")
    for name, pinned in (("maxRunSeconds", said.max_run_seconds), ("failOnTimeout", said.fail_on_timeout)):
        if (written := member(policy, name)) is not None:
            _same(f"spec.policy.{name} of the bundle", pinned, written)


def _check_placement(case: Case, said: Pins, decided: dict[str, Any]) -> None:
    _same("the decision's backendIntent", said.backend_intent, decided["backendIntent"])
    receipt = case.find("PlacementReceipt")
    if receipt is not None:
        _same("the receipt's backend", member(decided, "caps", BACKEND_CAP), receipt["decision"].get("backend"))


def _check_reports(case: Case, said: Pins) -> None:
    """What the executor's documents repeat of the pins."""
    plain = msgspec.json.decode(msgspec.json.encode(said))
    repeated: dict[str, dict[str, object]] = {
        "RunArtifact": {"lane": said.lane, "backendIntent": said.backend_intent},
        "TimeoutArtifact": {"maxRunSeconds": said.max_run_seconds},
        "ReplayArtifact": {"backendIntent": said.backend_intent, "pins": plain},
    }
    for kind, fields in repeated.items():
        document = case.find(kind)
        for name, pinned in (fields if document is not None else {}).items():
            _same(f"{name} of the {kind}", pinned, member(document, name))


def _check_guest(case: Case, repeated_spec: str | None) -> None:
    """The guest that was started is the one to start a replay with, and in a replay the one of the original."""
    started, replay = case.find("RunStarted"), case.find("ReplayArtifact")
    if started is None:
        return
    if replay is not None:
        _same("guest of the ReplayArtifact", started["guest"], replay.get("guest"))
    if repeated_spec is not None:
        _same("the guest that was started", repeated_spec, member(started, "guest", "spec", "path"))


def _check_replay(case: Case, expected: Expected | None) -> None:
    """The verdict of a replay follows from what was expected and what came."""
    finished = case.finished
    if expected is None:
        if finished.replay is not None:
            raise _differs("nothing was expected of this run, but it reports a replay")
    elif finished.replay != compare(expected, finished):
        raise _differs(f"the replay's verdict does not follow from what {expected.run} left and what came now")


def _same(what: str, pinned: object, found: object) -> None:
    if pinned != found or isinstance(pinned, bool) != isinstance(found, bool):
        raise _differs(f"{what} is {str(found)[:200]}, pinned is {str(pinned)[:200]}")


def _differs(message: str) -> Tampered:
    return Tampered(message, code="evidence.pins", where=PINS)
