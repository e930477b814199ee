"""Who may connect to the bus, as an operator writes it down: names and public keys. Pure.

A role gets its permissions here, by name, and nowhere else (agentplane.bus.accounts): nobody writes subjects by hand.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agentplane.bus import accounts
from agentplane.bus.accounts import Callout, User
from agentplane.bus.subjects import TOKEN
from agentplane.ids import DNS_LABEL
from agentplane.runs.executors import SYSTEM_TENANT


def _public_key(value: str) -> str:
    if len(value) != _KEY_LENGTH or not value.startswith("U") or not (value.isalnum() and value.isascii()):
        raise ValueError("must be a public user key: U and 55 letters and digits (a seed, SU…, is secret)")
    return value


def _account_key(value: str) -> str:
    if len(value) != _KEY_LENGTH or not value.startswith("A") or not (value.isalnum() and value.isascii()):
        raise ValueError("must be a public account key: A and 55 letters and digits (a seed, SA…, is secret)")
    return value


def _token(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise ValueError("must be letters, digits, '_' and '-', at most 63")
    return value


def _tenant(value: str) -> str:
    if value == SYSTEM_TENANT:
        raise ValueError(
            f"{SYSTEM_TENANT!r} is the platform's own: whoever speaks for it, says which executors there are"
        )
    return _token(value)


def _label(value: str) -> str:
    if not DNS_LABEL.fullmatch(value):
        raise ValueError("must be a DNS label: a-z, 0-9 and '-', at most 63")
    return value


_KEY_LENGTH = 56
PublicKey = Annotated[str, AfterValidator(_public_key)]
AccountKey = Annotated[str, AfterValidator(_account_key)]
Tenant = Annotated[str, AfterValidator(_tenant)]
ExecutorName = Annotated[str, AfterValidator(_label)]


class Person(BaseModel):
    """A user of one tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nkey: PublicKey = Field(description="The public half of this person's NATS key.")
    tenant: Tenant = Field(default="default", description="Whose intents this person may submit and whose facts see.")
    operator: bool = Field(default=False, description="Whether this person may approve, drain and revoke executors.")


class BusUsers(BaseModel):
    """Everybody who may connect, by what they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    control: PublicKey | None = Field(default=None, description="The control plane's public NATS key.")
    projector: PublicKey | None = Field(default=None, description="The projector's public NATS key.")
    executors: dict[ExecutorName, PublicKey] = Field(
        default_factory=dict, description="Public NATS keys of executors: each may speak as itself only."
    )
    issuer: AccountKey | None = Field(
        default=None, description="Public account key whose seed control has: executors may join over the bus."
    )
    watcher: PublicKey | None = Field(
        default=None, description="Control's second public NATS key, which ends connections; needed with issuer."
    )
    people: dict[str, Person] = Field(default_factory=dict, description="People and their tools, by name.")

    @model_validator(mode="after")
    def _watched(self) -> Self:
        if (self.issuer is None) != (self.watcher is None):
            raise ValueError("issuer and watcher go together: control lets executors in, and ends their connections")
        return self

    def callout(self) -> Callout | None:
        """How the bus asks control about keys that are not named here; None: it lets nobody else in."""
        if self.issuer is None or self.watcher is None:
            return None
        return Callout(issuer=self.issuer, watcher=accounts.watcher(self.watcher))

    def users(self) -> tuple[User, ...]:
        """The bus's users, with the permissions of their roles."""
        return (
            *([accounts.control(self.control)] if self.control else []),
            *([accounts.projector(self.projector)] if self.projector else []),
            *(accounts.executor(key, name) for name, key in sorted(self.executors.items())),
            *(
                accounts.person(person.nkey, person.tenant, name, operator=person.operator)
                for name, person in sorted(self.people.items())
            ),
        )
