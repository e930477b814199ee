"""The keys of a fleet below one directory: what every host may know, and per host what only it may. Repeatable.

Executors make their own keys and join. One that is named here gets keys from here instead, which it cannot renew.

    trust/       control.pub, ca.pem, cache.pub, executors/<name>.{pub,bus}
                                                              public: part of every host's configuration
    users.json   public NATS keys by role                     public: part of the control host's configuration
    secret/control/, secret/<executor>/, secret/people/       private: to that host's /var/keys, and nowhere else
    secret/authority/ca.key                                   private: signs the bus's certificate, needed on no host

What exists is kept, so another executor is added by calling again.
"""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from nkeys import PREFIX_BYTE_ACCOUNT, encode_seed

from agentplane.bus import nkeys
from agentplane.bus.callout import Issuer
from agentplane.bus.users import BusUsers
from agentplane.caches.keys import public_part, secret_text
from agentplane.daemon.config import check_settings, load_document
from agentplane.errors import Broken, Conflict, NotFound, Refused
from agentplane.evidence.edge import generate_key_pair
from agentplane.ids import DNS_LABEL
from agentplane.keys import authority

ROLES: Final = ("owner", "append", "project", "read")
_RESERVED: Final = ("control", "people", "authority")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Who there is. `addresses`: names and addresses that hosts and people reach the bus by."""

    addresses: tuple[str, ...]
    executors: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()  # people who also approve, drain and revoke executors
    tenant: str = "default"


def make(directory: Path, wanted: Wanted, now: datetime) -> tuple[Path, ...]:
    """Make what is missing; answer the files that are new.

    Raises:
        Refused: `keys.name`, `keys.address` (a certificate needs a name), `config.…` (users.json is not ours).
        Broken: `keys.unwritable`. Denied: a key that others may read.
    """
    _check(wanted, certified=(directory / "secret" / "control" / "bus.pem").exists())
    before = _files(directory)
    try:
        _directories(directory, wanted)
        _signing(directory, wanted.executors)
        _certificate(directory, wanted.addresses, now)
        _passwords(directory / "secret" / "control")
        _cache(directory)
        _users(directory, wanted)
    except OSError as exc:
        raise Broken(f"cannot write: {exc.strerror}", code="keys.unwritable", where=str(exc.filename)) from exc
    return tuple(sorted(_files(directory) - before))


def renew(directory: Path, now: datetime) -> Path:
    """A new certificate of the bus for the same key and names, in the old one's place in one step; the file.

    Raises:
        NotFound: `keys.missing`: there is no certificate, or no authority to sign with. Broken: `keys.unwritable`.
    """
    host, signer = directory / "secret" / "control", directory / "secret" / "authority" / "ca.key"
    file = host / "bus.pem"
    try:
        names = authority.names(file.read_bytes())
        made = authority.server(signer.read_bytes(), (host / "bus.key").read_bytes(), names, now)
        beside = file.with_suffix(".pem.new")
        beside.write_bytes(made)
        beside.replace(file)
    except FileNotFoundError as exc:
        hint = "name the directory that `agentplane keys` made, with secret/authority in it"
        raise NotFound(
            "is not there", code="keys.missing", where=exc.filename and str(exc.filename), hint=hint
        ) from exc
    except OSError as exc:
        raise Broken(f"cannot write: {exc.strerror}", code="keys.unwritable", where=str(exc.filename)) from exc
    return file


def _check(wanted: Wanted, *, certified: bool) -> None:
    if not wanted.addresses and not certified:
        hint = "--address NAME, as hosts will reach it"
        raise Refused("no name for the bus's certificate", code="keys.address", hint=hint)
    for name in (*wanted.executors, *wanted.people, *wanted.operators):
        if not DNS_LABEL.fullmatch(name) or name in _RESERVED:
            hint = f"a-z, 0-9 and '-', at most 63, and none of {', '.join(_RESERVED)}"
            raise Refused(f"{name!r} cannot be a name here", code="keys.name", hint=hint)


def _files(directory: Path) -> set[Path]:
    return {path.relative_to(directory) for path in directory.rglob("*") if path.is_file()}


def _directories(directory: Path, wanted: Wanted) -> None:
    secret = directory / "secret"
    (directory / "trust" / "executors").mkdir(parents=True, exist_ok=True)
    for path in (secret, *(secret / name for name in (*_RESERVED, *wanted.executors))):
        path.mkdir(mode=0o700, exist_ok=True)


def _signing(directory: Path, executors: Sequence[str]) -> None:
    pairs = [("control", "control", "control.pub")]
    pairs += [(name, "executor", f"executors/{name}.pub") for name in executors]
    for host, key, public in pairs:
        with suppress(Conflict):  # made before
            generate_key_pair(directory / "secret" / host, key)
        source = directory / "secret" / host / f"{key}.pub"
        if source.exists():
            shutil.move(source, directory / "trust" / public)


def _certificate(directory: Path, addresses: Sequence[str], now: datetime) -> None:
    ca_key = _private(directory / "secret" / "authority" / "ca.key", authority.new_key)
    ca_file = directory / "trust" / "ca.pem"
    if not ca_file.exists():
        ca_file.write_bytes(authority.authority(ca_key, now))
    host = directory / "secret" / "control"
    if (host / "bus.pem").exists():
        return
    key = _private(host / "bus.key", authority.new_key)
    # control and the projector reach it on their own host
    names = tuple(dict.fromkeys((*addresses, "localhost", "127.0.0.1")))
    (host / "bus.pem").write_bytes(authority.server(ca_key, key, names, now))


def _passwords(host: Path) -> None:
    for role in ROLES:
        _private(host / f"{role}.pgpass", partial(_password_file, role))


def _password_file(role: str) -> bytes:
    return f"*:*:*:agentplane_{role}:{secrets.token_hex(24)}\n".encode()


def _cache(directory: Path) -> None:
    """Who pushes bundles signs them with this, on the control host."""
    secret = _private(directory / "secret" / "control" / "cache.key", _cache_key)
    (directory / "trust" / "cache.pub").write_text(f"{public_part(secret.decode())}\n")


def _cache_key() -> bytes:
    return f"{secret_text('agentplane-cache-1', secrets.token_bytes(32))}\n".encode()


def _users(directory: Path, wanted: Wanted) -> None:
    secret, file = directory / "secret", directory / "users.json"
    known = check_settings(load_document(file), BusUsers, origin=str(file)) if file.exists() else BusUsers()
    document = known.model_dump()
    for daemon in ("control", "projector"):
        document[daemon] = nkeys.create_seed_file(secret / "control" / f"{daemon}.nkey")
    for name in wanted.executors:  # control answers for them, so that it can shut them out
        key = nkeys.create_seed_file(secret / name / "executor.nkey")
        (directory / "trust" / "executors" / f"{name}.bus").write_text(f"{key}\n")
    document["watcher"] = nkeys.create_seed_file(secret / "control" / "watcher.nkey")
    document["issuer"] = Issuer(_private(secret / "control" / "issuer.nkey", _account_seed).strip()).public_key
    for name in (*wanted.people, *wanted.operators):
        key = nkeys.create_seed_file(secret / "people" / f"{name}.nkey")
        operator = name in wanted.operators
        document["people"][name] = {"nkey": key, "tenant": wanted.tenant, "operator": operator}
    file.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def _account_seed() -> bytes:
    """Of the account key that signs for who may connect."""
    return bytes(encode_seed(secrets.token_bytes(32), PREFIX_BYTE_ACCOUNT)) + b"\n"


def _private(path: Path, make_bytes: Callable[[], bytes]) -> bytes:
    """A file of mode 0600, made unless it is there."""
    with suppress(FileExistsError), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(make_bytes())
    return path.read_bytes()
