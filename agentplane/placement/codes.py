"""Every reason in a placement table, in words: for documentation; a test keeps it complete. Pure."""

from typing import Final

CODES: Final[dict[str, str]] = {
    "not-in-inventory": "the inventory does not list it",
    "disabled": "the inventory disables it",
    "drained": "declared drained",
    "offline": "declared offline",
    "degraded": "declared degraded while a ready executor can take the run",
    "trust-zone": "in a zone that may not run the lane",
    "lane-forbidden": "the policy closes the lane",
    "backend-forbidden": "the policy allows nothing that serves the backend intent in this lane",
    "network-forbidden": "the policy allows no such network in this lane",
    "excluded": "an earlier attempt of this run was lost there",
    "retired": "an operator retired it",
    "revoked": "an operator revoked it",
    "clock": "its clock is too far from the control plane's",
    "fenced": "its word is not taken: wrong key, or evidence that does not verify",
    "unreachable": "no heartbeat, or none for too long",
    "draining": "it takes nothing new",
    "platform": "another operating system or architecture than declared, needed, or pinned",
    "backend": "it does not run the backend, or is not allowed to",
    "no-kvm": "the lane demands KVM, and the probe found none that works",
    "network": "it does not offer the network mode",
    "secret": "it cannot deliver a required secret",
    "too-small": "even empty it has less than the run asks for",
    "capacity": "its leases leave less than the run asks for",
    "outranked": "it could take the run; another one has the better score, or is the default",
    "not-named": "it could take the run; another one was named",
}
