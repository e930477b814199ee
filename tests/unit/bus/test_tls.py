"""When a connection is encrypted, and which addresses are none."""

import json
from pathlib import Path

import pytest

from agentplane.bus.tls import Tls, chosen
from agentplane.cli.context import Context, load_context
from agentplane.daemon.config import NatsSettings, check_settings
from agentplane.errors import Denied, Refused

CA = Tls(ca_file="/etc/agentplane/ca.pem")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "[::1]"])
def test_this_machine_needs_no_tls(host: str) -> None:
    assert chosen([f"nats://{host}:4222"], None, allow_plaintext=False) is None


@pytest.mark.parametrize("host", ["10.0.0.1", "control.example", "localhost.example", "[fd00::1]", "192.0.2.1"])
def test_elsewhere_it_does(host: str) -> None:
    servers = ["nats://127.0.0.1:4222", f"nats://{host}:4222"]
    with pytest.raises(Denied) as caught:
        chosen(servers, None, allow_plaintext=False)
    assert host in caught.value.message
    assert "127.0.0.1" not in caught.value.message
    assert chosen(servers, None, allow_plaintext=True) is None
    assert chosen(servers, CA, allow_plaintext=False) == CA


def test_a_tls_address_alone_means_the_systems_authorities() -> None:
    assert chosen(["tls://control.example:4222"], None, allow_plaintext=False) == Tls()


@pytest.mark.parametrize(
    "server", ["control.example", "http://control.example", "ws://x:80", "nats://", "nats://h:99999", "nats://h:x", ""]
)
def test_what_is_no_address_is_named(server: str) -> None:
    with pytest.raises(Refused, match="is not nats://HOST:PORT") as caught:
        chosen([server], None, allow_plaintext=True)
    assert caught.value.code == "bus.address"


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(Refused) as caught:
        chosen(["tls://me:hunter2@control.example"], None, allow_plaintext=False)
    assert "hunter2" not in str(caught.value)


def test_settings_are_refused_before_anything_starts() -> None:
    with pytest.raises(Refused, match=r"control\.example.*tls\.ca_file"):
        check_settings({"servers": ["nats://control.example:4222"]}, NatsSettings, origin="x")
    with pytest.raises(Refused, match=r"tls\.ca_file: .*must be an absolute path"):
        check_settings({"servers": ["tls://c:1"], "tls": {"ca_file": "ca.pem"}}, NatsSettings, origin="x")
    document = {"servers": ["tls://c:1"], "tls": {"ca_file": "/ca.pem", "server_name": "bus"}}
    assert check_settings(document, NatsSettings, origin="x").encryption == Tls(ca_file="/ca.pem", server_name="bus")


def test_a_persons_context_says_it_the_same_way(tmp_path: Path) -> None:
    document = {"tenant": "default", "servers": ["tls://c:1"], "nkey_seed_file": None, "trusted_keys_dir": "/k"}
    (tmp_path / "context.json").write_text(json.dumps({**document, "tls": {"ca_file": "/ca.pem"}}))
    context = load_context(tmp_path)
    assert isinstance(context, Context)
    assert context.tls == Tls(ca_file="/ca.pem")
    (tmp_path / "context.json").write_text(json.dumps({**document, "tls": {"cafile": "/ca.pem"}}))
    with pytest.raises(Refused, match="cafile"):
        load_context(tmp_path)
