"""Keys on disk: private means private, and trust is for one identity only."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.signer._key import SSlibKey

from agentplane.errors import AgentplaneError, Conflict, NotFound, Refused, Tampered
from agentplane.evidence.edge import generate_key_pair, load_private_key, load_signer, load_trusted_keys
from agentplane.evidence.keys import TrustedKeys, key_id, public_pem
from tests.unit.evidence.conftest import signer_for


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return generate_key_pair(tmp_path / "keys", "control")[0]


def code_of(path: Path) -> str:
    with pytest.raises(AgentplaneError) as caught:
        load_private_key(path)
    return caught.value.code


def test_a_generated_pair_fits_together(key: Path) -> None:
    signer = load_signer(key, "control")
    assert public_pem(signer.public_key) == key.with_suffix(".pub").read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(path.name for path in key.parent.iterdir()) == ["control.key", "control.pub"]


def test_the_key_id_is_the_sha256_of_the_spki(key: Path) -> None:
    import hashlib

    public = load_private_key(key).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key_id(public) == hashlib.sha256(spki).hexdigest()
    assert SSlibKey.from_crypto(public, keyid=key_id(public)).keytype == "ed25519"


def test_keys_are_never_replaced(key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(Conflict) as caught:
        generate_key_pair(key.parent, "control")
    assert caught.value.code == "evidence.key.exists"
    assert key.read_bytes() == before


def test_a_lone_public_key_is_not_replaced_either(tmp_path: Path) -> None:
    (tmp_path / "control.pub").write_text("somebody's")
    with pytest.raises(Conflict):
        generate_key_pair(tmp_path, "control")
    assert [path.name for path in tmp_path.iterdir()] == ["control.pub"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_a_key_that_others_can_reach_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    assert code_of(key) == "evidence.key.permissions"


def test_a_symbolic_link_is_refused(key: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(key)
    assert code_of(tmp_path / "link") == "evidence.key.link"


def test_a_hard_link_is_refused(key: Path, tmp_path: Path) -> None:
    os.link(key, tmp_path / "second")
    assert code_of(key) == "evidence.key.link"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(key: Path) -> None:
    os.chown(key, 65534, 65534)
    assert code_of(key) == "evidence.key.owner"


def test_a_directory_and_a_pipe_are_no_keys(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert code_of(tmp_path) == "evidence.key.file"
    assert code_of(tmp_path / "pipe") == "evidence.key.file"


def test_a_missing_key_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_private_key(tmp_path / "none")
    assert caught.value.code == "evidence.key.missing"


P256 = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
LOCKED = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw"))


@pytest.mark.parametrize("data", [b"", b"not a key", P256, LOCKED], ids=["empty", "text", "P-256", "encrypted"])
def test_what_is_not_an_ed25519_key_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.key"
    path.touch(0o600)
    path.write_bytes(data)
    assert code_of(path) == "evidence.key.type"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of root's")
def test_a_systemd_credential_may_show_its_acl_as_group_bits(key: Path) -> None:
    key.chmod(0o440)
    assert code_of(key) == "evidence.key.permissions"
    load_private_key(key, credentials=key.parent)
    key.chmod(0o444)
    with pytest.raises(Refused):
        load_private_key(key, credentials=key.parent)


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    directory = tmp_path / "trusted"
    (directory / "executors").mkdir(parents=True)
    (directory / "control.pub").write_bytes(public_pem(signer_for("control").public_key))
    (directory / "executors" / "exec-1.pub").write_bytes(public_pem(signer_for("executor/exec-1").public_key))
    return directory


def test_a_directory_of_public_keys_becomes_trust(trust: Path) -> None:
    trusted = load_trusted_keys(trust)
    assert trusted.identities == ("control", "executor/exec-1")
    control = signer_for("control")
    assert trusted.check(control.key_id, b"x", control.sign(b"x")) == "control"


def test_rotation_trusts_two_keys_of_control(trust: Path) -> None:
    new = signer_for("control", seed=2)
    (trust / "control-2027.pub").write_bytes(public_pem(new.public_key))
    assert load_trusted_keys(trust).check(new.key_id, b"x", new.sign(b"x")) == "control"


def test_one_key_cannot_be_two_people(trust: Path) -> None:
    (trust / "executors" / "exec-2.pub").write_bytes((trust / "control.pub").read_bytes())
    with pytest.raises(Refused) as caught:
        load_trusted_keys(trust)
    assert caught.value.code == "evidence.key.shared"


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("executors/Exec 1.pub", b"", "evidence.key.name"),
        ("executors/exec-2.pub", b"nonsense", "evidence.key.type"),
        ("control.pub", None, "evidence.key.missing"),
    ],
)
def test_a_directory_with_a_flaw_is_refused(trust: Path, path: str, data: bytes | None, code: str) -> None:
    (trust / path).unlink(missing_ok=True)
    if data is not None:
        (trust / path).write_bytes(data)
    with pytest.raises(AgentplaneError) as caught:
        load_trusted_keys(trust)
    assert caught.value.code == code


def test_no_trust_without_a_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_trusted_keys(tmp_path / "none")


def test_a_wrong_signature_and_an_unknown_key_are_told_apart() -> None:
    control = signer_for("control")
    trusted = TrustedKeys({"control": (control.public_key,)})
    with pytest.raises(Tampered) as wrong:
        trusted.check(control.key_id, b"x", bytes(64))
    with pytest.raises(Tampered) as unknown:
        trusted.check("00" * 32, b"x", bytes(64))
    assert (wrong.value.code, unknown.value.code) == ("evidence.signature", "evidence.untrusted-key")
