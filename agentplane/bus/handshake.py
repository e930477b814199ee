"""TLS as nats-py is told of it, and what OpenSSL's complaints mean. Reads the CA's file, nothing else."""

import logging
import ssl
from typing import Any, Final

from agentplane.bus.tls import Tls
from agentplane.errors import Refused, Transient

_TRUST: Final = (
    "the certificate must come from nats.tls.ca_file, be in its time, and name the host (or nats.tls.server_name); "
    "the server's tls block needs handshake_first: true"
)
_REASONS: Final = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate does not verify",
    "WRONG_VERSION_NUMBER": "it does not speak TLS from the first byte",
    "RECORD_LAYER_FAILURE": "it does not speak TLS from the first byte",
    "UNSUPPORTED_PROTOCOL": "it speaks too old a TLS",
    "HANDSHAKE_FAILURE": "the TLS handshake failed",
    "_ALERT_": "the TLS handshake failed",
}


def options(tls: Tls | None) -> dict[str, Any]:
    """The driver's arguments. Raises Refused (`bus.ca`)."""
    if tls is None:
        return {}
    logging.getLogger("asyncio").addFilter(_worth_telling)  # once, however often it is added
    named = {"tls_hostname": tls.server_name} if tls.server_name else {}
    return {"tls": context(tls), "tls_handshake_first": True, **named}


def _worth_telling(record: logging.LogRecord) -> bool:
    """Not what asyncio says at the end of each encrypted connection: nats-py upgrades them in a way of its own."""
    return "eof_received() has no effect" not in str(record.msg)


def context(tls: Tls) -> ssl.SSLContext:
    """A client's context: certificate and name are verified, TLS 1.2 at least.

    Raises:
        Refused: code `bus.ca`: the file of authorities cannot be read or holds no certificate.
    """
    try:
        made = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as exc:
        reason = "it holds no certificate" if isinstance(exc, ssl.SSLError) else exc.strerror
        raise Refused(
            f"cannot use the bus's certificate authority: {reason}",
            code="bus.ca",
            where=tls.ca_file,
            hint="nats.tls.ca_file names a PEM file with the CA's certificate (public: no key)",
        ) from exc
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def words(said: str) -> str:
    """OpenSSL's way to say that the server hung up, in words; anything else as it is."""
    if "CLOSE_NOTIFY" not in said:
        return said
    return "the server ended the connection; where it asks control about keys, control may be away"


def failure(said: str, where: str) -> Transient | None:
    """A failed handshake in our words, from OpenSSL's; None: it was something else. A certificate can be renewed."""
    for mark, reason in _REASONS.items():
        if mark in said:
            return Transient(f"{reason} ({said.strip()})", code="bus.certificate", where=where, hint=_TRUST)
    return None
