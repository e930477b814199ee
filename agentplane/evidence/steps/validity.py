"""Steps over control's signed key history: whom it vouches for, and whether each key counted when it was used. Pure."""

from collections import Counter

from agentplane.canonical import digest_bytes
from agentplane.errors import AgentplaneError, Refused, Tampered
from agentplane.evidence.export import EXECUTOR_KEYS, MARKED
from agentplane.evidence.key_history import Committed, KeyHistory, check_committed, open_history, trusting
from agentplane.evidence.keys import CONTROL
from agentplane.evidence.record import open_record
from agentplane.evidence.steps.case import Case, at


def trust(case: Case) -> None:
    """Open the key history, and trust whom it names of those of whom the verifier holds no key itself.

    Raises:
        Refused, Tampered: it is not of the form, not signed by control, or names keys that it cannot.
    """
    if case.export.executor_keys is None:
        return
    try:
        case.signed_keys = open_history(case.export.executor_keys, case.trusted)
        own = case.trusted
        case.trusted = trusting(own, case.signed_keys.history)
        case.vouched_for = frozenset(case.trusted.identities) - set(own.identities)
    except AgentplaneError as error:
        kind = Tampered if isinstance(error, Tampered) else Refused
        raise kind(error.message, code=error.code, where=EXECUTOR_KEYS, hint=error.hint) from error


def key_times(case: Case) -> str:
    """Every statement of an executor was committed, and believed, while the key that signed it counted."""
    if case.signed_keys is None:
        return _without(case)
    history = case.signed_keys.history
    _check_about(case, history)
    committed = {each.digest: each for each in history.statements}
    for number, record in enumerate(case.records):
        if record.identity == CONTROL:
            continue
        try:
            check_committed(history, record, committed)
        except Tampered as error:
            raise Tampered(error.message, code=error.code, where=at(number), hint=error.hint) from error
    words = [f"{len(case.executor_records)} statements committed while their keys counted, up to event {history.as_of}"]
    return "; ".join([*words, *_marked(case, committed)])


def _without(case: Case) -> str:
    if case.export.marked is not None:
        raise Tampered("only a key history says what was marked", code="evidence.marked", where=MARKED)
    if not case.executor_records:
        return "no executor signed anything"
    if case.need_key_history:
        raise Refused(
            "there is none, so nobody says whether the executors' keys counted",
            code="evidence.key-history",
            where=EXECUTOR_KEYS,
            hint="export the run again, while its control plane answers",
        )
    return "not checked: this export has no key history; all keys that you hold counted as good at any time"


def _check_about(case: Case, history: KeyHistory) -> None:
    last = case.records[-1].statement
    run = last.predicate.run
    if (history.tenant, history.run) != (run.tenant, run.name):
        raise Tampered(
            f"about run {history.tenant}/{history.run}, not {run.tenant}/{run.name}",
            code="evidence.key-history",
            where=EXECUTOR_KEYS,
        )
    if case.signed_keys is not None and case.signed_keys.bundle_digest != last.bundle_digest:
        raise Tampered("about another bundle", code="evidence.key-history", where=EXECUTOR_KEYS)


def _marked(case: Case, committed: dict[str, Committed]) -> list[str]:
    """What is to be said of statements that were kept and not believed. They are no part of the run's evidence."""
    expected = {digest: each for digest, each in committed.items() if each.mark}
    data = case.export.marked
    if data is not None and not data.endswith(b"\n"):
        raise Refused("does not end with a whole line", code="evidence.marked", where=MARKED)
    lines = data[:-1].split(b"\n") if data else []
    for number, line in enumerate(lines, start=1):
        digest = digest_bytes(line)
        where = f"{MARKED} line {number}"
        if expected.pop(digest, None) is None:
            raise Tampered("not a statement that control marked", code="evidence.marked", where=where)
        try:
            open_record(line, case.trusted)
        except AgentplaneError as error:
            raise Tampered(error.message, code=error.code, where=where, hint=error.hint) from error
    counts = Counter((each.mark, each.executor) for each in committed.values() if each.mark)
    said = [f"{count} of {who} kept and not believed ({mark})" for (mark, who), count in sorted(counts.items())]
    return [*said, *([f"{len(expected)} of them not in this export"] if expected else [])]
