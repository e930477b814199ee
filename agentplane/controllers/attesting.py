"""What control says, signed, about the keys behind a run's evidence: from its state and the run's stream. Pure.

Nothing in it comes from whoever asks but the name of the run; everything else is the log's.
"""

from collections.abc import Sequence
from datetime import datetime

from agentplane.canonical import digest_bytes
from agentplane.clock import rfc3339
from agentplane.controllers.state import ControlState
from agentplane.enrolment.spans import executor_span
from agentplane.errors import NotFound
from agentplane.events.codec import payload
from agentplane.events.digest import encode_data
from agentplane.events.model import StoredEvent
from agentplane.evidence.key_history import KIND, Committed, ExecutorSpan, KeyHistory, sign_history
from agentplane.evidence.keys import Signer, TrustedKeys, executor_identity
from agentplane.runs import facts
from agentplane.runs.model import RunCreated, RunEvidence


def executor_keys(
    state: ControlState, stream: Sequence[StoredEvent], declared: TrustedKeys, signer: Signer, now: datetime
) -> bytes:
    """The envelope of a run's key history. `stream`: the run's, as it was when `state` had folded at least all of it.

    Raises:
        NotFound: code `run.unknown`: there is no such run, or it was refused.
        Refused: codes `event.payload`, `evidence.key-history`, `evidence.envelope` (far too many attempts).
    """
    created = next((payload(each.event, RunCreated) for each in stream if each.event.type == facts.CREATED), None)
    if created is None:
        raise NotFound("no such run, or it was refused: no executor signed anything about it", code="run.unknown")
    said = [_committed(each) for each in stream if each.event.type == facts.EVIDENCE]
    names = sorted({each.executor for each in said})
    history = KeyHistory(
        kind=KIND,
        tenant=stream[0].event.stream.tenant,
        run=stream[0].event.stream.name,
        as_of=state.position,
        captured_at=rfc3339(now),
        executors=tuple(_span(state, name, declared) for name in names),
        statements=tuple(said),
    )
    pins = created.pins
    return sign_history(history, bundle=pins.bundle, bundle_digest=pins.bundle_digest, signer=signer)


def _committed(stored: StoredEvent) -> Committed:
    said = payload(stored.event, RunEvidence)
    return Committed(
        digest=digest_bytes(encode_data(said.envelope)),
        sequence=stored.sequence,
        committed_at=rfc3339(stored.event.time),
        executor=said.executor,
        index=said.index,
        epoch=said.epoch,
        fenced=said.fenced,
        mark=said.mark,
    )


def _span(state: ControlState, name: str, declared: TrustedKeys) -> ExecutorSpan:
    executor = state.executor(name)
    own = [key for key in declared.keys() if key.identity == executor_identity(name)]  # noqa: SIM118 - not a dict
    return executor_span(name, executor.enrolment, executor.key_events, own)
