from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from agentplane.errors import AgentplaneError
from agentplane.evidence.keys import CONTROL, Ed25519Signer
from agentplane.runs.model import Expected, GuestPin, Input, Resources, StorePath
from agentplane.runs.pinned import Pinned
from agentplane.runs.protocol import Assignment
from agentplane.runs.states import Outcome
from services.executor.authority import verify_assignment
from tests.unit.executor.samples import EXECUTOR, SOURCE, TRUSTED_CONTROL, assignment, pins, statements

STRANGER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"x" * 32), CONTROL)

PINS = "assignment.pins"
OTHER = StorePath(path="/nix/store/" + "b" * 32 + "-demo", nar_hash="sha256:" + "1" * 52)
GUEST = GuestPin(spec=OTHER, kernel=OTHER.path, qemu="7.2.0")
EXPECTED = Expected(run="demo-0", outcome=Outcome.EXITED, exit_code=0, artifacts=())
UNPINNED = statements(pinned=Pinned(pins=pins(seed="another run's")))


def test_what_control_signed_for_this_run_epoch_and_executor_is_taken() -> None:
    mandate = verify_assignment(assignment(), EXECUTOR, TRUSTED_CONTROL)
    assert mandate.decision.statement.predicate.artifact["chosenExecutor"] == EXECUTOR


def test_what_a_replay_repeats_is_signed_with_it() -> None:
    work = assignment(replay_guest=GUEST, expected=EXPECTED)
    verify_assignment(work, EXECUTOR, TRUSTED_CONTROL)
    with pytest.raises(AgentplaneError) as caught:
        verify_assignment(replace(work, replay_guest=None), EXECUTOR, TRUSTED_CONTROL)
    assert caught.value.code == PINS


def forged(**changes: Any) -> Assignment:
    return replace(assignment(), **changes)


@pytest.mark.parametrize(
    ("defect", "work", "code"),
    [
        ("signed by a stranger", forged(statements=statements(signer=STRANGER)), "evidence.untrusted-key"),
        ("no statements", forged(statements=()), "assignment.statements"),
        ("only the decision", forged(statements=statements()[1:]), "assignment.statements"),
        ("the decision twice", forged(statements=(*statements(), statements()[1])), "assignment.statements"),
        ("another epoch", forged(epoch=2), "assignment.run"),
        ("another run", forged(run="demo-2"), "assignment.run"),
        ("another tenant", forged(tenant="rival"), "assignment.run"),
        ("another executor", forged(statements=statements(executor="exec-2")), "assignment.executor"),
        ("an invalid bundle", forged(statements=statements(valid=False)), "assignment.invalid"),
        ("another bundle document", forged(bundle={"kind": "Bundle"}), "assignment.bundle"),
        ("pins of another bundle", forged(pins=pins(bundle_digest="sha256:" + "9" * 64)), "assignment.bundle"),
        ("pins of another version", forged(pins=pins(bundle="demo@2.0.0")), "assignment.bundle"),
        ("another backend", forged(backend="process"), "assignment.backend"),
        ("another source", forged(pins=pins(source=OTHER)), "assignment.pins"),
        ("another hash of the source", forged(pins=pins(source=replace(SOURCE, nar_hash=OTHER.nar_hash))), PINS),
        ("an input more", forged(pins=pins(inputs=(Input(name="tree", tree=OTHER),))), "assignment.pins"),
        ("another smoke script", forged(pins=pins(smoke="evil.sh")), "assignment.pins"),
        ("another module", forged(pins=pins(module="evil.nix")), "assignment.pins"),
        ("more memory", forged(pins=pins(resources=Resources(vcpus=1, memory_mib=512, disk_mib=64))), PINS),
        ("more time", forged(pins=pins(max_run_seconds=31)), "assignment.pins"),
        ("a timeout forgiven", forged(pins=pins(fail_on_timeout=False)), "assignment.pins"),
        ("a secret more", forged(pins=pins(secrets=("token",))), "assignment.pins"),
        ("another seed", forged(pins=pins(seed="1")), "assignment.pins"),
        ("another policy", forged(pins=pins(policy_digest="sha256:" + "3" * 64)), "assignment.pins"),
        ("another lane", forged(pins=pins(lane="dev")), "assignment.pins"),
        ("a guest to repeat", forged(replay_guest=GUEST), "assignment.pins"),
        ("something to match", forged(expected=EXPECTED), "assignment.pins"),
        ("a decision without pins", forged(statements=UNPINNED), "assignment.pins"),
        ("a number that nothing can sign", forged(pins=pins(max_run_seconds=2**60)), "canonical.unrepresentable"),
    ],
)
def test_an_assignment_with_a_defect_is_refused(defect: str, work: Assignment, code: str) -> None:
    with pytest.raises(AgentplaneError) as caught:
        verify_assignment(work, EXECUTOR, TRUSTED_CONTROL)
    assert caught.value.code == code, defect


def test_every_flipped_bit_of_a_signature_is_noticed() -> None:
    for index in range(0, 80, 7):
        validation, decision = statements()
        sig = decision["signatures"][0]["sig"]
        flipped = sig[:index] + ("A" if sig[index] != "A" else "B") + sig[index + 1 :]
        decision = decision | {"signatures": [decision["signatures"][0] | {"sig": flipped}]}
        with pytest.raises(AgentplaneError):
            verify_assignment(forged(statements=(validation, decision)), EXECUTOR, TRUSTED_CONTROL)
