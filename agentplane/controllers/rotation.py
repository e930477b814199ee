"""Rotation: an executor's next keys, vouched for by those that count now. Pure.

The old keys go on counting for the overlap that the operator named, so that what is on its way arrives; after it the
bus lets them in no longer, and what they sign is kept, marked, and believed no longer.
"""

from datetime import datetime, timedelta

from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.drafts import Draft, source_of
from agentplane.controllers.joining import taken
from agentplane.controllers.state import ControlState
from agentplane.enrolment import facts
from agentplane.enrolment.facts import PublicKeys
from agentplane.enrolment.keys import encode_public
from agentplane.enrolment.model import EnrolledKey
from agentplane.enrolment.requests import KeyAnnouncement, vouched_for
from agentplane.errors import Refused, Tampered
from agentplane.evidence.keys import TrustedKeys, executor_identity
from agentplane.runs.executors import executor_stream


def decide(state: ControlState, request: KeyAnnouncement, trusted: TrustedKeys, now: datetime) -> Decision:
    """What follows from announced keys; nothing when they were announced before.

    Raises:
        Refused: codes `rotation.not-asked`, `executor.left`, `executor.key-expired`, `join.key-taken`.
        Tampered: codes `evidence.untrusted-key`, `evidence.signer`, `join.signature`.
    """
    executor = state.executor(request.name)
    known = executor.enrolment
    if known.key(request.keys.key_id) is not None:
        return NOTHING
    if known.left:
        raise Refused(f"executor {request.name} has left: {known.phase}", code="executor.left")
    if known.rotation is None:
        raise Refused("nobody asked for new keys", code="rotation.not-asked", hint="`agentplane executor rotate`")
    if known.mark(request.previous_key_id, now):
        raise Refused("the key that vouches for the new one counts no longer", code="executor.key-expired")
    previous = _previous(known.key(request.previous_key_id), request, trusted)
    if taken(state, request.keys):
        raise Refused("these keys are another executor's; every executor makes its own", code="join.key-taken")
    draft = Draft(
        "rotation",
        source_of(f"rotation/{request.name}/{request.keys.key_id}"),
        correlation_id=source_of(f"executor/{request.name}"),
        causation_id=executor.last_event,
        actor=f"executor:{request.name}",
        now=now,
    )
    until = now + timedelta(seconds=known.rotation.overlap_s)
    announced = facts.KeyAnnounced(keys=request.keys, previous=previous, until=until)
    draft.add(executor_stream(request.name), executor.version, facts.KEY_ANNOUNCED, announced)
    return draft.decision()


def _previous(enrolled: EnrolledKey | None, request: KeyAnnouncement, trusted: TrustedKeys) -> PublicKeys:
    key = trusted.find(request.previous_key_id)
    if key.identity != executor_identity(request.name):
        raise Tampered(f"a key of {key.identity} vouches for one of {request.name}", code="evidence.signer")
    vouched_for(request, key.public_key)
    nkey = enrolled.nkey if enrolled else ""
    return PublicKeys(key_id=key.key_id, public_key=encode_public(key.public_key), nkey=nkey)
