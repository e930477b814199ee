"""Who the executors are: those of the configuration and those that joined, as of now. Reads; decides nothing."""

from datetime import datetime

from agentplane.bus import accounts
from agentplane.bus.accounts import User
from agentplane.controllers.heartbeats import Standing
from agentplane.enrolment.keys import trusted_keys
from agentplane.errors import Denied
from agentplane.evidence.keys import TrustedKeys, executor_identity
from agentplane.fleet.inventory import Inventory
from services.control.runtime import Runtime


class Roster:
    """One control process's view of all executors."""

    def __init__(self, runtime: Runtime, inventory: Inventory, declared: TrustedKeys, nkeys: dict[str, str]) -> None:
        """`declared`: keys that configuration trusts; `nkeys`: bus keys that it lets in, executor by key."""
        self._runtime = runtime
        self._inventory = inventory
        self._declared = declared
        self._nkeys = nkeys
        self._trusted = declared
        self._trusted_for: object = None

    def is_declared(self, name: str) -> bool:
        """Whether the configuration gives this name a key; whoever asks for it is somebody else."""
        return executor_identity(name) in self._declared.identities

    def standing(self, name: str) -> Standing:
        """What is thought of an executor now."""
        node = self._inventory.executor(name)
        enrolment = self._runtime.state.executor(name).enrolment
        identity = executor_identity(name)
        return Standing(
            known=node is not None or enrolment.approved is not None,
            enabled=node is None or node.enabled,
            key_ids=frozenset(key.key_id for key in self.trusted().keys() if key.identity == identity),  # noqa: SIM118
            enrolment=enrolment,
        )

    def trusted(self) -> TrustedKeys:
        """All keys that speak, or spoke, for somebody; when each counted is the enrolment's to say."""
        enrolments = [(each.name, each.enrolment) for each in self._runtime.state.all_executors()]
        known = tuple((name, key.key_id) for name, enrolment in enrolments for key in enrolment.keys)
        if known != self._trusted_for:
            self._trusted, self._trusted_for = trusted_keys(self._declared, enrolments), known
        return self._trusted

    def user(self, nkey: str, now: datetime) -> User:
        """What the bus should let a key do: what its executor does, or nothing but ask to join.

        Raises:
            Denied: code `executor.left`, `executor.key-expired`: it was an executor's, and is no longer.
        """
        for executor in self._runtime.state.all_executors():
            if any(key.nkey == nkey for key in executor.enrolment.keys):
                if executor.enrolment.admits(nkey, now):
                    return accounts.executor(nkey, executor.name)
                code = "executor.left" if executor.enrolment.left else "executor.key-expired"
                raise Denied(f"a key that executor {executor.name} had", code=code)
        if (name := self._nkeys.get(nkey)) is None:
            return accounts.joiner(nkey)
        if self._runtime.state.executor(name).enrolment.left:
            raise Denied(f"executor {name} has left", code="executor.left")
        return accounts.executor(nkey, name)

    def barred(self, now: datetime) -> frozenset[str]:
        """Every bus key that was an executor's and may not connect now."""
        known = {key.nkey for executor in self._runtime.state.all_executors() for key in executor.enrolment.keys}
        return frozenset(nkey for nkey in (known | self._nkeys.keys()) - {""} if self._is_barred(nkey, now))

    def _is_barred(self, nkey: str, now: datetime) -> bool:
        try:
            self.user(nkey, now)
        except Denied:
            return True
        return False
