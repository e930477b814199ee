"""The configuration that is rendered: who may say what, and nothing that could break out of its line."""

import stat
from pathlib import Path

import pytest

from agentplane.bus import accounts
from agentplane.bus.accounts import ServerConfig, User, render
from agentplane.bus.nkeys import create_seed_file, public_key
from agentplane.errors import Denied, Refused

ALICE = "UALICE"
CONFIG = ServerConfig(port=4222, store_dir="/var/lib/nats")


def test_the_server_listens_on_loopback_and_syncs_every_write() -> None:
    text = render(CONFIG, ())
    assert 'listen: "127.0.0.1:4222"' in text
    assert "sync_interval: always" in text
    assert "http:" not in text


def test_monitoring_is_opened_only_when_asked_for() -> None:
    config = ServerConfig(port=4222, store_dir="/var/lib/nats", monitor_port=8222)
    assert 'http: "127.0.0.1:8222"' in render(config, ())


def test_a_person_is_held_to_one_tenant() -> None:
    user = accounts.person(ALICE, "acme", "alice")
    assert all("acme" in subject for subject in user.publish)
    assert set(user.subscribe) == {"_INBOX.UALICE.>", "agentplane.acme.fact.>"}
    assert not any(subject.startswith("$") for subject in user.publish)


@pytest.mark.parametrize("tenant", ["*", ">", "a.b", "", "a b", "acme.>", "a\nb"])
def test_a_name_cannot_widen_a_permission(tenant: str) -> None:
    with pytest.raises(Refused):
        accounts.person(ALICE, tenant, "alice")
    with pytest.raises(Refused):
        accounts.executor(ALICE, tenant)


def test_a_name_for_people_stays_a_comment() -> None:
    user = User(name="x\n} no_auth_user: y", public_key=ALICE, publish=(), subscribe=())
    assert "\n} no_auth_user" not in render(CONFIG, (user,))


def test_one_key_is_one_user() -> None:
    with pytest.raises(Refused) as caught:
        render(CONFIG, (accounts.projector(ALICE), accounts.person(ALICE, "acme", "alice")))
    assert caught.value.code == "bus.duplicate-user"


@pytest.mark.parametrize("key", ["", "SUSEED", "U no", 'U"', "A1"])
def test_what_is_no_public_key_is_refused(key: str) -> None:
    with pytest.raises(Refused):
        render(CONFIG, (accounts.projector(key),))


def test_a_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "user.nk"
    name = create_seed_file(path)
    assert name.startswith("U")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert create_seed_file(path) == name == public_key(path)
    assert create_seed_file(tmp_path / "other.nk") != name


@pytest.mark.parametrize("content", [b"", b"nonsense", b"SUAAAA", b"\xff\xfe"])
def test_a_damaged_key_is_refused_without_showing_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "user.nk"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Denied) as caught:
        public_key(path)
    assert caught.value.code == "nkey.malformed"
    assert "nonsense" not in str(caught.value)


def test_a_missing_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(Denied) as caught:
        public_key(tmp_path / "none.nk")
    assert caught.value.code == "nkey.unreadable"
