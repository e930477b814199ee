"""The rules that this control plane decides by, kept in the log once per tenant and change.

Without them nothing would be decided otherwise; only `agentplane controllers check` could not take old decisions again.
"""

from collections.abc import Iterable

from agentplane.controllers.leases import Patience
from agentplane.controllers.recording import Rules, record_rules, rules_for
from agentplane.controllers.versions import VERSIONS
from agentplane.daemon.logs import get_logger
from agentplane.domains.registry import Registry
from agentplane.errors import Conflict, Refused
from agentplane.events.secrets import find_secrets
from agentplane.fleet.inventory import Inventory
from agentplane.policy import Policy
from services.control.runtime import Runtime

log = get_logger()


class Rulebook:
    """The rules of every tenant that is served here. `digests`: what decisions refer to them by."""

    def __init__(
        self, tenants: Iterable[str], policy: Policy, inventory: Inventory, patience: Patience, registry: Registry
    ) -> None:
        versions = {**VERSIONS, **{name: each.VERSION for name, each in registry.controllers.items()}}
        waits = (patience.lease_seconds, patience.start_grace_s, patience.run_grace_s)
        self._rules = {tenant: rules_for(tenant, policy, inventory, waits, versions) for tenant in tenants}
        self.digests = {tenant: rules.digest() for tenant, rules in self._rules.items()}

    async def keep(self, runtime: Runtime) -> None:
        """Store those that are not in the log yet. Raises Transient."""
        for tenant, rules in self._rules.items():
            await self._keep(runtime, tenant, rules)

    async def _keep(self, runtime: Runtime, tenant: str, rules: Rules) -> None:
        append = record_rules(tenant, rules, runtime.now())
        try:
            if found := find_secrets(append.events[0].data, "rules"):
                raise Refused(f"something like a secret in {found[0].path}", code="rules.secret")  # noqa: TRY301
            if not await runtime.store.read_stream(append.stream):
                await runtime.store.append(append)
        except (Refused, Conflict) as error:
            log.warning("rules are not kept; decisions by them cannot be checked", tenant=tenant, code=error.code)
