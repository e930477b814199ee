from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentplane.errors import AgentplaneError
from agentplane.evidence.keys import CONTROL, Ed25519Signer
from agentplane.runs.protocol import Assignment
from services.executor.authority import verify_assignment
from tests.unit.executor.samples import EXECUTOR, TRUSTED_CONTROL, assignment, pins, statements

STRANGER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"x" * 32), CONTROL)


def test_what_control_signed_for_this_run_epoch_and_executor_is_taken() -> None:
    mandate = verify_assignment(assignment(), EXECUTOR, TRUSTED_CONTROL)
    assert mandate.decision.statement.predicate.artifact["chosenExecutor"] == EXECUTOR


def forged(**changes: Any) -> Assignment:
    return msgspec.structs.replace(assignment(), **changes)


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
