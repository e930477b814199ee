"""What people write about an organization: the public contract of its kind."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from agentplane.domains.model import Spec


def _email(value: str) -> str:
    local, at, host = value.rpartition("@")
    if not at or not local or "." not in host.strip(".") or any(character.isspace() for character in value):
        raise ValueError("must be an address like ops@example.org")
    return value


Email = Annotated[str, Field(max_length=254, examples=["ops@example.org"]), AfterValidator(_email)]


class Tier(StrEnum):
    """How much an organization may use."""

    COMMUNITY = "community"
    STANDARD = "standard"
    ENTERPRISE = "enterprise"


class Contact(Spec):
    """Somebody who answers for the organization."""

    name: Annotated[str, Field(min_length=1, max_length=120, description="A person's name")]
    email: Annotated[Email, Field(description="Where that person is reached")]


class Quota(Spec):
    """Limits that are checked against the tier's own."""

    concurrent_runs: Annotated[int, Field(ge=1, le=1000, description="Runs at once")] = 4
    executors: Annotated[int, Field(ge=0, le=500, description="Executors of its own")] = 0


class Organization(Spec):
    """A tenant: who it is, who answers for it, what it may use."""

    display_name: Annotated[str, Field(min_length=1, max_length=120, description="The name that people know it by")]
    owner: Annotated[Contact, Field(description="Who answers for it")]
    tier: Annotated[Tier, Field(description="How much it may use")] = Tier.COMMUNITY
    domains: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")], ...],
        Field(max_length=20, description="Internet domains that belong to it"),
    ] = ()
    quota: Annotated[Quota, Field(description="Limits; must fit the tier")] = Quota()
    suspended: Annotated[bool, Field(description="Keep it, and let it run nothing")] = False

    @model_validator(mode="after")
    def _domains_are_named_once(self) -> Self:
        if len(set(self.domains)) != len(self.domains):
            raise ValueError("domains: each once")
        return self
