"""The control daemon's configuration: one JSON file, checked whole before anything starts."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, PlainValidator, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from agentplane.bus.subjects import TOKEN
from agentplane.daemon.config import AbsolutePath, DaemonSettings, NatsSettings, PostgresSettings, Seconds, Settings
from agentplane.policy import Policy, Problem, read_policy
from agentplane.runs.executors import SYSTEM_TENANT


def _tenant(value: str) -> str:
    if not TOKEN.fullmatch(value) or value == SYSTEM_TENANT:
        raise ValueError(f"must be letters, digits, '_' and '-', at most 63, and not {SYSTEM_TENANT!r}")
    return value


def _policy(value: object) -> Policy:
    policy = value if isinstance(value, Policy) else read_policy(value)
    if isinstance(policy, Policy):
        return policy
    raise ValidationError.from_exception_data("Policy", [_error(problem) for problem in policy])


def _error(problem: Problem) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("policy", "{message}", {"message": problem.message}), loc=problem.path, input=None
    )


Tenant = Annotated[str, AfterValidator(_tenant)]
PolicySettings = Annotated[Policy, PlainValidator(_policy)]


class JoiningSettings(Settings):
    """How executors join over the bus: nats-server asks control who may connect (auth_callout)."""

    issuer_seed_file: AbsolutePath  # the account key (seed, SA…) that signs the answers; mode 0600
    watcher_nkey_seed_file: AbsolutePath  # control's user key (seed, SU…) of the system account; mode 0600


class ControlSettings(DaemonSettings):
    """All of it. Paths are absolute; the files need not exist while the configuration is only checked."""

    nats: NatsSettings
    postgres: PostgresSettings  # the append role
    signing_key_file: AbsolutePath  # Ed25519 private key, mode 0600
    executor_keys_dir: AbsolutePath  # control*.pub and executors/<name>.pub: the keys that are trusted
    inventory_file: AbsolutePath  # FleetInventory, typed or legacy
    tenants: Annotated[tuple[Tenant, ...], Field(min_length=1)]  # whose intents are taken
    policy: PolicySettings = Policy()
    heartbeat_seconds: Seconds = 5  # what executors are asked for
    lease_seconds: Seconds = 30  # of silence, until an executor's leases expire
    start_grace_seconds: Seconds = 1800  # from lease to start: the guest may have to be built
    run_grace_seconds: Seconds = 120  # beyond the bundle's maxRunSeconds
    reconcile_seconds: Seconds = 10  # that a domain's controller may take for one decision
    max_clock_skew_seconds: Seconds = 60  # that an executor's clock may be off; beyond it, no new runs
    joining: JoiningSettings | None = None  # None: executors' keys are given by configuration only
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 128  # messages in hand at once, per kind

    @model_validator(mode="after")
    def _heartbeats_fit_into_a_lease(self) -> Self:
        if self.lease_seconds < 3 * self.heartbeat_seconds:
            raise ValueError("lease_seconds must be at least three times heartbeat_seconds: one may get lost")
        return self
