"""A certificate authority for the bus of one fleet: ECDSA P-256, X.509v3 (RFC 5280). Makes bytes, writes nothing."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agentplane.errors import Refused

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
SERVER_LIFETIME: Final = timedelta(days=730)
_CLOCKS_DIFFER: Final = timedelta(hours=1)


def new_key() -> bytes:
    """A private key (PEM, PKCS #8)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority(key_pem: bytes, now: datetime) -> bytes:
    """The authority's own certificate (PEM): it may sign servers, and no further authorities."""
    key = _loaded(key_pem)
    name = _name("agentplane bus authority")
    usage = _usage(certificates=True)
    builder = _builder(name, name, key.public_key(), now, AUTHORITY_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def server(authority_key_pem: bytes, key_pem: bytes, names: Sequence[str], now: datetime) -> bytes:
    """A server's certificate (PEM) for these host names and addresses.

    Raises:
        Refused: code `keys.name`: what is neither a host name nor an address, or no name at all.
    """
    signer, key = _loaded(authority_key_pem), _loaded(key_pem)
    alternative = x509.SubjectAlternativeName([_general(name) for name in names])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    subject = _name("agentplane bus")
    builder = _builder(subject, _name("agentplane bus authority"), key.public_key(), now, SERVER_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    for extension in (alternative, issuer, purpose):
        builder = builder.add_extension(extension, critical=False)
    builder = builder.add_extension(_usage(certificates=False), critical=True)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def names(certificate_pem: bytes) -> tuple[str, ...]:
    """The host names and addresses that a server's certificate is for. Raises Refused (`keys.type`): it has none."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as exc:
        raise Refused("not a certificate that we made", code="keys.type", hint="a server's, in PEM") from exc
    return tuple(str(each.value) for each in found)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    if len(name) > 253 or not all(label and label.replace("-", "").isalnum() and label.isascii() for label in labels):  # noqa: PLR2004 - RFC 1035
        raise Refused(f"{name!r} is neither a host name nor an address", code="keys.name")
    return x509.DNSName(name)


def _loaded(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused("not a key that we made", code="keys.type", hint="an ECDSA key in PEM")
    return key
