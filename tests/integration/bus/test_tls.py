"""TLS to a real nats-server with a throwaway authority: who is believed, who is not, and what nobody may downgrade."""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agentplane.bus.accounts import ServerTls
from agentplane.bus.nats import NatsBus
from agentplane.bus.tls import Tls
from agentplane.errors import Denied, Refused, Transient
from tests.integration.bus.authority import Authority
from tests.nats_server import NatsServer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextlib.contextmanager
def serving(directory: Path, certificate: tuple[Path, Path] | None) -> Iterator[NatsServer]:
    tls = certificate and ServerTls(cert_file=str(certificate[0]), key_file=str(certificate[1]))
    server = NatsServer(directory, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[NatsServer]:
    with serving(tmp_path_factory.mktemp("nats-tls"), authority.issue("127.0.0.1", "bus.example")) as running:
        yield running


async def connect(server: NatsServer, tls: Tls | None) -> NatsBus:
    return await NatsBus.connect([server.url], nkey_seed_file=server.seed("tester"), name="tester", tls=tls)


def trusting(authority: Authority, server_name: str | None = None) -> Tls:
    return Tls(ca_file=str(authority.ca_file), server_name=server_name)


async def test_a_certificate_of_the_named_authority_is_believed(server: NatsServer, authority: Authority) -> None:
    bus = await connect(server, trusting(authority))
    await bus.ensure_streams()
    await bus.publish("agentplane.acme.intent.Run.run.requested", b"hello", message_id="1")
    await bus.close()


async def test_another_name_in_the_certificate_can_be_asked_for(server: NatsServer, authority: Authority) -> None:
    bus = await connect(server, trusting(authority, "bus.example"))
    assert bus.connected
    await bus.close()


async def test_the_connection_comes_back_encrypted(server: NatsServer, authority: Authority) -> None:
    bus = await connect(server, trusting(authority))
    back = asyncio.Event()
    bus.on_reconnect(back.set)
    server.restart()
    async with asyncio.timeout(30):
        await back.wait()
    await bus.ensure_streams()
    await bus.close()


async def test_a_certificate_without_the_name_is_not_believed(server: NatsServer, authority: Authority) -> None:
    with pytest.raises(Transient) as caught:
        await connect(server, trusting(authority, "other.example"))
    assert caught.value.code == "bus.certificate"
    assert caught.value.where == server.url
    assert "server_name" in str(caught.value.hint)


async def test_another_authority_is_not_believed(server: NatsServer, tmp_path: Path) -> None:
    with pytest.raises(Transient) as caught:
        await connect(server, trusting(Authority(tmp_path, "other")))
    assert caught.value.code == "bus.certificate"


async def test_an_expired_certificate_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    expired = authority.issue("127.0.0.1", "expired.example", valid=timedelta(hours=-1))
    with serving(tmp_path, expired) as server, pytest.raises(Transient) as caught:
        await connect(server, trusting(authority))
    assert caught.value.code == "bus.certificate"
    assert "expired" in caught.value.message


async def test_a_server_in_the_clear_gets_nothing_from_a_client_that_wants_tls(
    tmp_path: Path, authority: Authority
) -> None:
    with serving(tmp_path, None) as server, pytest.raises(Transient) as caught:
        await connect(server, trusting(authority))
    assert caught.value.code == "bus.certificate"
    assert "handshake_first" in str(caught.value.hint)


async def test_a_server_with_tls_takes_nobody_in_the_clear(server: NatsServer) -> None:
    with pytest.raises(Transient):
        await NatsBus.connect([server.url], nkey_seed_file=server.seed("tester"), name="tester", timeout_s=2.0)


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("nothing", "holds no certificate")])
async def test_an_unfit_authority_file_is_named(
    server: NatsServer, tmp_path: Path, content: str | None, reason: str
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    with pytest.raises(Refused, match=reason) as caught:
        await connect(server, Tls(ca_file=str(ca_file)))
    assert (caught.value.code, caught.value.where) == ("bus.ca", str(ca_file))


async def test_off_this_machine_nothing_is_sent_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(Denied) as caught:
        await NatsBus.connect(["nats://192.0.2.1:4222"], nkey_seed_file=None, name="nobody")
    assert caught.value.code == "bus.plaintext"
    assert "192.0.2.1" in caught.value.message
    assert "nats.tls.ca_file" in str(caught.value.hint)
