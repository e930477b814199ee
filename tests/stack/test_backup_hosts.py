"""The parts of a stack backed up as the hosts of a fleet are: control's log and an executor's state, each alone."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentplane.backup.manifest import NAME
from agentplane.backup.series import whole
from agentplane.stack.ports import load_ports
from agentplane.stack.postgres import account
from tests.stack.plane import EXECUTOR, Data, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the database's user can pass."""
    path = Path(tempfile.mkdtemp(prefix="agentplane-hosts-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def control_config(plane: Plane, room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On a host the server trusts its own account; here it wants a password, which libpq finds by itself."""
    monkeypatch.setenv("PGPASSFILE", str(plane.layout.passfiles / "postgres"))
    ports = load_ports(plane.layout.ports)
    assert ports is not None
    database = {"socket_dir": str(plane.layout.postgres / "socket"), "port": ports["postgres"]}
    return config(plane, room, "control", database=database, keep=2)


@pytest.fixture
def executor_config(plane: Plane, room: Path) -> Path:
    return config(plane, room, "executor", executor={"name": EXECUTOR, "state_dir": str(plane.layout.executor)})


def config(plane: Plane, room: Path, name: str, **settings: object) -> Path:
    path = room / f"{name}.json"
    shared = {"directory": str(room / name), "trusted_keys_dir": str(plane.layout.trusted_keys)}
    kept = {"files": [str(plane.layout.config / "inventory.json")]}
    path.write_text(json.dumps(shared | kept | settings))
    return path


def backed_up(plane: Plane, config: Path) -> Data:
    answer: Data = json.loads(plane.call("backup", "--config", config, "-o", "json").stdout)
    return answer


def test_a_control_hosts_log_comes_back_as_a_data_directory(
    plane: Plane, room: Path, control_config: Path, tmp_path: Path
) -> None:
    plane.sealed(plane.submit(make_bundle(tmp_path, "exit 0\n", name="before")))
    made = backed_up(plane, control_config)
    assert made["of"] == "control"
    assert made["journal"] is None
    assert made["log"]["events"] == made["log"]["last_sequence"] > 0
    data = room / "cluster" / "main"
    back = ("restore", "--from", made["directory"], "--database", data)
    restored = json.loads(plane.call(*back, "-o", "json").stdout)
    assert restored["log"]["events"] - restored["events_after_mark"] == made["log"]["events"]
    assert (data / "PG_VERSION").stat().st_uid == account().pw_uid
    assert not (data / "postmaster.pid").exists()
    assert "backup.not-empty" in plane.call(*back, status=5).stderr


def test_an_executors_state_comes_back_beside_its_keys(
    plane: Plane, room: Path, executor_config: Path, tmp_path: Path
) -> None:
    plane.sealed(plane.submit(make_bundle(tmp_path, "exit 0\n", name="kept")))
    made = backed_up(plane, executor_config)
    assert made["log"] is None
    assert made["journal"]["executor"] == EXECUTOR
    state = room / "state"
    state.mkdir()
    (state / "executor.key").touch()
    back = ("restore", "--from", made["directory"], "--executor", state)
    restored = json.loads(plane.call(*back, "-o", "json").stdout)
    assert restored["journal"] == made["journal"]
    assert sorted(path.name for path in state.iterdir() if path.name != "forgotten") == [
        "executor.key",
        "journal",
        "runs",
    ]
    assert "backup.not-empty" in plane.call(*back, status=5).stderr


def test_a_series_keeps_the_newest_and_what_is_not_its_own(plane: Plane, room: Path, executor_config: Path) -> None:
    settings = json.loads(executor_config.read_text()) | {"keep": 1}
    executor_config.write_text(json.dumps(settings))
    series = room / "executor"
    for name in ("2020-01-01T000000Z", "2021-01-01T000000Z", "precious", "2022-01-01T000000Z.partial"):
        (series / name).mkdir(parents=True)
    (series / "2020-01-01T000000Z" / NAME).touch()  # whole, and old
    newest = Path(backed_up(plane, executor_config)["directory"])
    assert whole(series) == [newest]
    # a directory of that form without a manifest is nothing that we made: it stays for somebody to look at
    assert sorted(path.name for path in series.iterdir()) == ["2021-01-01T000000Z", newest.name, "precious"]


def test_what_is_of_something_else_is_refused_by_name(
    plane: Plane, room: Path, control_config: Path, executor_config: Path
) -> None:
    of_executor = backed_up(plane, executor_config)["directory"]
    refused = plane.call("restore", "--from", of_executor, "--database", room / "data", status=2)
    assert "backup.other-kind" in refused.stderr
    assert "--executor DIR" in refused.stderr
    both = json.loads(control_config.read_text()) | {"executor": {"name": EXECUTOR, "state_dir": "/var/lib/x"}}
    control_config.write_text(json.dumps(both))
    refused = plane.call("backup", "--config", control_config, "--check-config", status=2)
    assert "name either database" in refused.stderr


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"postgres_major": 14}, "backup.postgres-version", "made with PostgreSQL 14"),
        ({"schema_version": 999}, "backup.schema", "schema version 999"),
    ],
)
def test_a_backup_of_another_version_is_refused_with_a_way_out(  # noqa: PLR0917 - fixtures
    plane: Plane, room: Path, control_config: Path, changed: Data, code: str, said: str
) -> None:
    made = Path(backed_up(plane, control_config)["directory"])
    manifest = json.loads((made / NAME).read_text())
    assert manifest.keys() >= changed.keys()
    (made / NAME).write_text(json.dumps(manifest | changed))
    refused = plane.call("restore", "--from", made, "--database", room / "data", status=2)
    assert code in refused.stderr
    assert said in refused.stderr
    assert "hint: restore with" in refused.stderr
    assert not (room / "data").exists()


def test_a_journal_that_was_changed_is_not_backed_up(plane: Plane, room: Path, tmp_path: Path) -> None:
    plane.sealed(plane.submit(make_bundle(tmp_path, "exit 0\n", name="forged")))
    state = room / "state"
    shutil.copytree(plane.layout.executor / "journal", state / "journal")
    (segment, *_) = sorted(path for path in (state / "journal").iterdir() if path.stat().st_size)
    words = bytearray(segment.read_bytes())
    words[len(words) // 2] ^= 1
    segment.write_bytes(bytes(words))
    forged = config(plane, room, "forged", executor={"name": EXECUTOR, "state_dir": str(state)})
    refused = plane.call("backup", "--config", forged, status=None)
    assert refused.returncode in {2, 7}, refused.stderr
    assert whole(room / "forged") == []
