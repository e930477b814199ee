"""The keys of a fleet: complete, private where they must be, kept when made again."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from agentplane.bus.nkeys import public_key
from agentplane.bus.users import BusUsers
from agentplane.caches.keys import parse_public_key, public_part
from agentplane.cli.main import main
from agentplane.daemon.config import load_settings
from agentplane.errors import Refused
from agentplane.evidence.edge import load_executor_nkeys, load_private_key, load_trusted_keys
from agentplane.keys import authority
from agentplane.keys.fleet import Wanted, make

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WANTED = Wanted(
    addresses=("control.example", "192.0.2.7"), executors=("exec-a",), people=("alice",), operators=("olga",)
)


def test_private_files_are_private_and_public_ones_hold_no_secret(tmp_path: Path) -> None:
    made = make(tmp_path, WANTED, NOW)
    public = {path for path in made if path.parts[0] != "secret"}
    assert {str(path) for path in public} == {
        "trust/ca.pem",
        "trust/cache.pub",
        "trust/control.pub",
        "trust/executors/exec-a.bus",
        "trust/executors/exec-a.pub",
        "users.json",
    }
    assert all(b"PRIVATE" not in (tmp_path / path).read_bytes() for path in public)
    for path in set(made) - public - {Path("secret/control/bus.pem")}:
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600, path
    for directory in (tmp_path / "secret").rglob("**/"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700, directory


def test_the_keys_are_those_that_the_daemons_load(tmp_path: Path) -> None:
    make(tmp_path, WANTED, NOW)
    load_private_key(tmp_path / "secret/control/control.key")
    load_private_key(tmp_path / "secret/exec-a/executor.key")
    load_trusted_keys(tmp_path / "trust")
    public = parse_public_key((tmp_path / "trust/cache.pub").read_text().strip())
    assert public == public_part((tmp_path / "secret/control/cache.key").read_text())
    (nkey,) = load_executor_nkeys(tmp_path / "trust")
    assert nkey == public_key(tmp_path / "secret/exec-a/executor.nkey")
    users = load_settings(tmp_path / "users.json", BusUsers).users()
    assert [user.name for user in users] == [
        "control",
        "projector",
        "user alice of default",
        "user olga of default, operator",
    ]


def test_calling_again_adds_and_keeps(tmp_path: Path) -> None:
    make(tmp_path, WANTED, NOW)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "users.json"}
    assert make(tmp_path, Wanted(addresses=()), NOW) == ()
    added = make(tmp_path, Wanted(addresses=(), executors=("exec-b",)), NOW)
    assert {path.name for path in added} == {"exec-b.pub", "exec-b.bus", "executor.key", "executor.nkey"}
    assert {path: path.read_bytes() for path in before} == before
    assert set(load_executor_nkeys(tmp_path / "trust").values()) == {"exec-a", "exec-b"}


def test_the_certificate_names_what_was_asked_and_this_host(tmp_path: Path) -> None:
    make(tmp_path, WANTED, NOW)
    certificate = x509.load_pem_x509_certificate((tmp_path / "secret/control/bus.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["control.example", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "127.0.0.1"]
    assert certificate.not_valid_after_utc == NOW + authority.SERVER_LIFETIME
    issuer = x509.load_pem_x509_certificate((tmp_path / "trust/ca.pem").read_bytes())
    certificate.verify_directly_issued_by(issuer)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (Wanted(addresses=()), "keys.address"),
        (Wanted(addresses=("a b",)), "keys.name"),
        (Wanted(addresses=("",)), "keys.name"),
        (Wanted(addresses=("c",), executors=("Exec",)), "keys.name"),
        (Wanted(addresses=("c",), executors=("../x",)), "keys.name"),
        (Wanted(addresses=("c",), executors=("control",)), "keys.name"),
        (Wanted(addresses=("c",), people=("a/b",)), "keys.name"),
    ],
)
def test_a_wrong_name_is_refused(tmp_path: Path, wanted: Wanted, code: str) -> None:
    with pytest.raises(Refused) as caught:
        make(tmp_path, wanted, NOW)
    assert caught.value.code == code


def test_the_command_lists_what_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", str(tmp_path / "k"), "--address", "control.example", "--executor", "exec-a"]) == 0
    assert f"{tmp_path}/k/secret/exec-a/executor.key" in capsys.readouterr().out
    assert main(["keys", str(tmp_path / "k"), "--tenant", "x", "--person", "bob"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/k/secret/people/bob.nkey\n"
