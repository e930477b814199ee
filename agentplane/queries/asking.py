"""One question over the bus and its answer, between programs of different versions.

A newer command line can ask an older query service: fields that have their default are left out of the question, and
what an answer has beyond what is known here is passed over. Where that is not enough, the error is `query.version`
and names both sides.
"""

import asyncio
from typing import Any, Final, TypeVar

import msgspec

from agentplane import __version__
from agentplane.bus import subjects
from agentplane.errors import AgentplaneError, Refused, Transient
from agentplane.ports import Bus
from agentplane.projections.notices import OUTDATED
from agentplane.queries import protocol as wire
from agentplane.queries.hearing import tell

_BEYOND_IT: Final = frozenset({"query.malformed", "query.unknown"})  # what an older service says to newer questions
_TRIES: Final = 8  # of two services at random: one in 256 questions meets the older one every time
_PAUSE_S: Final = 0.05

T = TypeVar("T")


async def ask(bus: Bus, tenant: str, name: str, wish: msgspec.Struct, type_: type[T], *, timeout_s: float) -> T:
    """The answer to a question. Asked again where an older query service answers beside a newer one.

    Raises:
        AgentplaneError: what the service raised. Refused: code `query.version`. Transient: nobody answered, or code
            `query.protocol`.
    """
    subject, question = subjects.query(tenant, name), asked(wish)
    for _ in range(_TRIES - 1):
        try:
            return answer(await bus.request(subject, question, timeout_s=timeout_s), type_, where=subject)
        except Transient as exc:
            if exc.code != OUTDATED:
                raise
            await asyncio.sleep(_PAUSE_S)
    return answer(await bus.request(subject, question, timeout_s=timeout_s), type_, where=subject)


def asked(wish: msgspec.Struct) -> bytes:
    """The bytes of a question: fields with their default are left out, so that older services can read it."""
    said: dict[str, Any] = {}
    for field in msgspec.structs.fields(wish):
        value = getattr(wish, field.name)
        if field.default is msgspec.NODEFAULT or value != field.default:
            said[field.encode_name] = value
    return msgspec.json.encode(said)


def answer(data: bytes, type_: type[T], *, where: str) -> T:
    """What an answer says. Raises as `ask`."""
    found = wire.Answer()
    try:
        found = msgspec.json.decode(data, type=wire.Answer)
        tell(bytes(found.notices))
        if found.error is None and bytes(found.ok):
            return msgspec.json.decode(found.ok, type=type_)
    except msgspec.DecodeError as exc:
        if _differs(found):
            raise _skew(found, where, f"its answer cannot be read here: {exc}") from exc
        raise Transient(f"not an answer: {exc}", code="query.protocol", where=where) from exc
    if found.error is None:
        raise Transient("an empty answer", code="query.protocol", where=where)
    raise _raised(found, found.error, where)


def _raised(found: wire.Answer, error: wire.Error, where: str) -> AgentplaneError:
    return _skew(found, where, error.message) if _differs(found) and error.code in _BEYOND_IT else wire.raised(error)


def _differs(found: wire.Answer) -> bool:
    """Whether who answered is of another version. An answer of which nothing could be read is of none."""
    return found != wire.Answer() and (found.protocol != wire.PROTOCOL or found.version != __version__)


def _skew(found: wire.Answer, where: str, why: str) -> Refused:
    """Both sides by name, and which one is older; where numbers do not tell, both are to be of one version."""
    theirs = f"agentplane {found.version or 'of an older version'} (protocol {found.protocol})"
    if found.protocol == wire.PROTOCOL:
        remedy = "install the same version on both sides"
    else:
        remedy = f"upgrade {'the control host' if found.protocol < wire.PROTOCOL else 'this command line'}"
    return Refused(
        f"the control host runs {theirs}, this command line is {__version__} (protocol {wire.PROTOCOL}): {why}",
        code="query.version",
        where=where,
        hint=f"{remedy}; `agentplane --version` says what this one is, `agentplane doctor` there what that one is",
    )
