"""How a connection to the bus is encrypted, and when it may be left in the clear. Pure.

Off this machine everything is encrypted unless somebody says that another layer does it (a WireGuard tunnel, a mesh):
nkeys prove who connects, they hide nothing. With TLS the handshake comes first, before the server's greeting, so nobody
on the way can talk a client out of it; nats-server wants `handshake_first: true` for that (2.10.4 and newer).
"""

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from agentplane.errors import Denied, Refused

_SCHEMES: Final = ("nats", "tls")
_TLS_HINT: Final = "set tls.ca_file (a daemon: nats.tls.ca_file), or allow_plaintext where a tunnel encrypts already"


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to believe. `ca_file` None: the system's authorities; `server_name` None: the name in the address."""

    ca_file: str | None = None  # PEM, public; null: the system's authorities
    server_name: str | None = None  # null: the name in the address


def address_problem(servers: Sequence[str]) -> str | None:
    """What is wrong with the form of these addresses, if anything."""
    for server in servers:
        try:
            parts = urlsplit(server)
            well_formed = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            well_formed = False
        if not well_formed:
            return f"{server!r} is not nats://HOST:PORT or tls://HOST:PORT"
        if parts.username or parts.password:
            return f"the address of {parts.hostname} carries a user or password: name nkey_seed_file instead"
    return None


def plaintext_problem(servers: Sequence[str], *, tls: bool, allow_plaintext: bool) -> str | None:
    """Which address would be spoken to in the clear over a network, if any; None: all is well."""
    if tls or allow_plaintext:
        return None
    open_ones = [server for server in servers if urlsplit(server).scheme != "tls" and not _is_here(server)]
    return f"{', '.join(open_ones)}: not on this machine, and without TLS" if open_ones else None


def _is_here(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def chosen(servers: Sequence[str], tls: Tls | None, *, allow_plaintext: bool) -> Tls | None:
    """How to encrypt; None: not at all.

    Raises:
        Refused: code `bus.address` (not an address). Denied: code `bus.plaintext` (a network, and no TLS).
    """
    if problem := address_problem(servers):
        raise Refused(problem, code="bus.address")
    if problem := plaintext_problem(servers, tls=tls is not None, allow_plaintext=allow_plaintext):
        raise Denied(problem, code="bus.plaintext", hint=_TLS_HINT)
    return tls or (Tls() if any(urlsplit(server).scheme == "tls" for server in servers) else None)
