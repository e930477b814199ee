"""When the bus's certificates end: the one that it shows to whoever connects now, and the authority's own.

Reads, and judges nothing: the handshake here believes any certificate, so that one that has ended can be dated as well.
Nothing is sent over it. Whoever really connects verifies (`handshake.context`).
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509

from agentplane.bus.tls import Tls, chosen

WARN_BEFORE: Final = timedelta(days=30)
_PORT: Final = 4222
_HANDSHAKE_S: Final = 3.0


class CertificateEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last moment of a certificate. `which`: `bus`, what the server shows, or `authority`, which signed it."""

    which: str
    where: str  # the server's address, or the authority's file
    at: datetime

    def seconds(self, now: datetime) -> float:
        """How long it is good yet; negative once it has ended."""
        return (self.at - now).total_seconds()


async def ends(servers: Sequence[str], tls: Tls | None, *, allow_plaintext: bool = True) -> tuple[CertificateEnd, ...]:
    """The ends of all certificates in use; nothing for a bus in the clear, or of what cannot be read now."""
    tls = chosen(servers, tls, allow_plaintext=allow_plaintext)
    if tls is None:
        return ()
    shown = await asyncio.gather(*(_shown(server, tls) for server in servers))
    return (*(each for each in shown if each is not None), *_authority(tls))


async def _shown(server: str, tls: Tls) -> CertificateEnd | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = urlsplit(server)
    name = tls.server_name or address.hostname
    with contextlib.suppress(OSError, TimeoutError, ValueError):  # away, or no TLS: said by whoever connects
        async with asyncio.timeout(_HANDSHAKE_S):
            _, writer = await asyncio.open_connection(
                address.hostname, address.port or _PORT, ssl=context, server_hostname=name
            )
        data = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        at = x509.load_der_x509_certificate(data).not_valid_after_utc
        return CertificateEnd(which="bus", where=server, at=at)
    return None


def _authority(tls: Tls) -> tuple[CertificateEnd, ...]:
    """Of several in one file, the one that ends last: a new one is put beside the old one before it is needed."""
    if tls.ca_file is None:
        return ()
    with contextlib.suppress(OSError, ValueError):
        found = x509.load_pem_x509_certificates(Path(tls.ca_file).read_bytes())
        at = max(each.not_valid_after_utc for each in found)
        return (CertificateEnd(which="authority", where=tls.ca_file, at=at),)
    return ()
