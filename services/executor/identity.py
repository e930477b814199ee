"""This host's own keys: made at first boot, below the state directory, never anywhere else.

    <state>/keys/current/{executor.key,executor.pub,nats.nkey}    what it signs and connects with
    <state>/keys/next/…                                           announced, or about to be, and not in use yet
    <state>/keys/former/<key id>.pub                              public halves of what the journal was signed with

A set of keys is a directory, so it appears, and takes another's place, by one rename. Configuration may name key files
instead (credentials that somebody else provides); then nothing is made here, and nothing can be rotated here.
"""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agentplane.bus.nkeys import create_seed_file, public_key, sign
from agentplane.durable import fsync_directory
from agentplane.enrolment.facts import PublicKeys
from agentplane.enrolment.keys import public_keys
from agentplane.evidence.edge import generate_key_pair, load_public_key, load_signer
from agentplane.evidence.keys import Ed25519Signer, TrustedKeys, executor_identity
from services.executor.config import NATS_SEED, SIGNING_KEY, ExecutorSettings
from services.executor.durable import disk_errors

_NAME: Final = "executor"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this executor is."""

    name: str
    signer: Ed25519Signer
    keys: PublicKeys  # its public halves
    journal_keys: TrustedKeys  # all that its journal was ever signed with
    renewable: bool  # whether the keys are its own to replace

    @property
    def fingerprint(self) -> str:
        """What an operator compares."""
        return f"SHA256:{self.signer.key_id}"


def load_identity(settings: ExecutorSettings) -> Identity:
    """The executor's keys; its own are made where there are none. The state directory must be ours.

    Raises:
        NotFound, Refused, Denied: a key file that the configuration names is missing or unfit.
        Transient, Broken: as `durable.disk_errors`.
    """
    directory = settings.keys_dir
    if settings.own_signing_key or settings.own_nkey:
        _settle(directory, settings)
    signer = load_signer(settings.signing_key_file, executor_identity(settings.name), credentials=_credentials())
    seed_file = settings.nats.nkey_seed_file
    return Identity(
        name=settings.name,
        signer=signer,
        keys=public_keys(signer.public_key, public_key(seed_file) if seed_file else ""),
        journal_keys=TrustedKeys({signer.identity: (signer.public_key, *_former(directory))}),
        renewable=settings.own_signing_key and settings.own_nkey,
    )


def next_identity(settings: ExecutorSettings) -> tuple[Ed25519Signer, PublicKeys]:
    """The keys that are to follow, made unless they are there. Raises as `load_identity`."""
    directory = settings.keys_dir / "next"
    if not directory.exists():
        _make(directory, settings)
    signer = load_signer(directory / SIGNING_KEY, executor_identity(settings.name))
    return signer, public_keys(signer.public_key, public_key(directory / NATS_SEED))


def sign_as_next(settings: ExecutorSettings) -> Callable[[bytes], bytes]:
    """Signs with the bus key that is to follow. What it answers raises Denied: `nkey.…`."""
    return partial(sign, settings.keys_dir / "next" / NATS_SEED)


def has_next(settings: ExecutorSettings) -> bool:
    """Whether keys are prepared that are not in use yet."""
    return (settings.keys_dir / "next").exists()


def promote(settings: ExecutorSettings, old: Ed25519Signer) -> None:
    """Use the next keys from the next start on; of the old ones only the public half stays."""
    directory = settings.keys_dir
    with disk_errors(directory):
        former = directory / "former"
        former.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(directory / "current" / f"{_NAME}.pub", former / f"{old.key_id}.pub")
        fsync_directory(former)
        (directory / "current").rename(directory / f".{old.key_id}.gone")
        _settle(directory, settings)


def _settle(directory: Path, settings: ExecutorSettings) -> None:
    """Finish what a crash left between two renames, or make the first keys."""
    with disk_errors(directory):
        directory.mkdir(mode=0o700, exist_ok=True)
        if not (directory / "current").exists():
            if not (directory / "next").exists():
                _make(directory / "next", settings)
            (directory / "next").rename(directory / "current")
            fsync_directory(directory)
        for gone in directory.glob(".*.gone"):
            shutil.rmtree(gone)


def _make(directory: Path, settings: ExecutorSettings) -> None:
    with disk_errors(directory):
        draft = directory.with_name(f".{directory.name}.new")
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        if settings.own_signing_key:
            generate_key_pair(draft, _NAME)
        if settings.own_nkey:
            create_seed_file(draft / NATS_SEED)
        fsync_directory(draft)
        draft.rename(directory)
        fsync_directory(directory.parent)


def _former(directory: Path) -> tuple[Ed25519PublicKey, ...]:
    return tuple(load_public_key(path) for path in sorted((directory / "former").glob("*.pub")))


def _credentials() -> Path | None:
    found = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(found) if found else None
