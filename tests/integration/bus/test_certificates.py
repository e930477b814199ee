"""A real nats-server whose certificate ends soon, has ended, and is renewed under somebody who is connected."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentplane.bus.accounts import ServerTls
from agentplane.bus.certificates import ends
from agentplane.bus.nats import NatsBus
from agentplane.bus.tls import Tls
from agentplane.cli.main import main
from agentplane.daemon.certificates import with_certificates
from agentplane.daemon.config import NatsSettings, TlsSettings
from agentplane.doctor.certificates import certificates
from agentplane.doctor.check import Status, healthy
from agentplane.errors import NotFound, Transient
from agentplane.keys import authority, fleet
from agentplane.metrics.exposition import Gauge, families
from tests.nats_server import NatsServer

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


class Bus:
    """A fleet's keys, and a server that shows their certificate."""

    def __init__(self, directory: Path, left: timedelta) -> None:
        self.keys = directory / "keys"
        fleet.make(self.keys, fleet.Wanted(addresses=("bus.example",), operators=("op",)), NOW)
        host = self.keys / "secret" / "control"
        self.certificate = host / "bus.pem"
        signer = (self.keys / "secret" / "authority" / "ca.key").read_bytes()
        issued = NOW + left - authority.SERVER_LIFETIME
        names = authority.names(self.certificate.read_bytes())
        self.certificate.write_bytes(authority.server(signer, (host / "bus.key").read_bytes(), names, issued))
        tls = ServerTls(cert_file=str(self.certificate), key_file=str(host / "bus.key"))
        (directory / "nats").mkdir()
        self.server = NatsServer(directory / "nats", tls=tls)
        self.tls = Tls(ca_file=str(self.keys / "trust" / "ca.pem"))

    async def connect(self) -> NatsBus:
        seed = self.server.seed("tester")
        return await NatsBus.connect([self.server.url], nkey_seed_file=seed, name="tester", tls=self.tls)


@contextmanager
def serving(directory: Path, left: timedelta) -> Iterator[Bus]:
    bus = Bus(directory, left)
    bus.server.start()
    try:
        yield bus
    finally:
        bus.server.stop()


@pytest.mark.parametrize(
    ("left", "status", "words"),
    [
        (100 * DAY, Status.PASS, "in 100 days"),
        (30 * DAY + timedelta(minutes=1), Status.PASS, "in 30 days"),
        (29 * DAY, Status.WARN, "in 29 days: renew it"),
        (-DAY, Status.FAIL, "it has ended"),
    ],
)
async def test_the_doctor_warns_a_month_before_and_fails_afterwards(
    tmp_path: Path, left: timedelta, status: Status, words: str
) -> None:
    with serving(tmp_path, left) as bus:
        found = await ends([bus.server.url], bus.tls)
    checks = {check.id: check for check in certificates(found, NOW)}
    assert checks["certificate.authority"].status is Status.PASS
    mine = checks["certificate.bus"]
    assert (mine.status, healthy(list(checks.values()))) == (status, status is not Status.FAIL)
    assert words in mine.cause
    assert mine.fix == (None if status is Status.PASS else "agentplane keys DIRECTORY --renew-certificate")


async def test_a_server_that_is_away_or_in_the_clear_has_no_certificate_to_date(tmp_path: Path) -> None:
    bus = Bus(tmp_path, DAY)
    assert [each.which for each in await ends([bus.server.url], bus.tls)] == ["authority"]
    assert await ends(["nats://127.0.0.1:1"], None) == ()


async def test_daemons_say_how_long_it_is_good(tmp_path: Path) -> None:
    with serving(tmp_path, 10 * DAY) as bus:
        ca_file = bus.keys / "trust" / "ca.pem"
        settings = NatsSettings(servers=(bus.server.url,), tls=TlsSettings(ca_file=ca_file))

        async def own() -> tuple[Gauge, ...]:
            return (Gauge("own", "", 1),)

        gauges = {each.labels.get("certificate", each.name): each for each in await with_certificates(settings, own)()}
    assert set(gauges) == {"agentplane_own", "bus", "authority"}
    assert gauges["bus"].name == "agentplane_certificate_seconds"
    left_s = gauges["bus"].value
    assert left_s is not None
    assert 0 <= 10 * DAY.total_seconds() - left_s < DAY.total_seconds()


async def test_daemons_name_the_metric_of_a_bus_in_the_clear_without_a_number() -> None:
    async def own() -> tuple[Gauge, ...]:
        return ()

    settings = NatsSettings(servers=("nats://127.0.0.1:4222",))
    (named,) = await with_certificates(settings, own)()
    assert (named.name, named.value) == ("agentplane_certificate_seconds", None)
    (family,) = families([named])
    assert (family.name, family.samples) == (named.name, [])


async def test_renewing_costs_nobody_who_is_connected_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path, 10 * DAY) as bus:
        connected = await bus.connect()
        names = authority.names(bus.certificate.read_bytes())
        assert main(["keys", str(bus.keys), "--renew-certificate"]) == 0
        assert capsys.readouterr().out == f"{bus.certificate}\n"
        assert authority.names(bus.certificate.read_bytes()) == names
        back = asyncio.Event()
        connected.on_reconnect(back.set)
        bus.server.stop()
        bus.server.start()
        await asyncio.wait_for(back.wait(), 60)
        await connected.ensure_streams()
        await connected.close()
        (shown, _) = await ends([bus.server.url], bus.tls)
    assert shown.at - NOW > authority.SERVER_LIFETIME - DAY


async def test_who_asks_the_fleet_over_a_bus_whose_certificate_has_ended_is_told_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path, -DAY) as bus:
        with pytest.raises(Transient) as refused:
            await bus.connect()
        assert refused.value.code == "bus.certificate"
        context = {
            "tenant": "default",
            "servers": [bus.server.url],
            "nkey_seed_file": str(bus.server.seed("tester")),
            "trusted_keys_dir": str(tmp_path),
            "tls": {"ca_file": bus.tls.ca_file},
        }
        (tmp_path / "context.json").write_text(json.dumps(context))
        status = await asyncio.to_thread(main, ["--state-dir", str(tmp_path), "doctor", "--fleet", "-o", "json"])
    answer = json.loads(capsys.readouterr().out)
    assert (status, answer["healthy"]) == (8, False)
    assert [check["id"] for check in answer["checks"] if check["status"] == "fail"] == ["certificate.bus"]


def test_nothing_is_renewed_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        fleet.renew(tmp_path, NOW)
    assert caught.value.code == "keys.missing"
