"""What a shim of another user leaves behind is read as a file, never followed; a closed daemon is a daemon."""

import json
import os
from pathlib import Path

import pytest

from agentplane.errors import Broken, Refused
from agentplane.guests.tarball import TarLimits
from agentplane.runners import builders
from agentplane.runners import launch as launches
from agentplane.runners.collect import extract
from agentplane.runners.plan import Ending
from agentplane.runners.shim import contract
from agentplane.runners.shim.contract import Launched
from agentplane.runners.shim.state import boot_id
from agentplane.runs.states import Outcome
from services.executor.collecting import keep_console


def test_an_outcome_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("{}")
    (tmp_path / contract.OUTCOME).symlink_to(tmp_path / "key")
    with pytest.raises(Refused) as refused:
        launches.ending_of(tmp_path)
    assert refused.value.code == "runner.outcome"


def test_a_console_that_leads_elsewhere_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("private")
    (tmp_path / contract.CONSOLE).symlink_to(tmp_path / "key")
    keep_console(tmp_path, tmp_path / "kept")
    assert not os.path.lexists(tmp_path / "kept")
    (tmp_path / contract.CONSOLE).unlink()
    (tmp_path / contract.CONSOLE).write_text("said")
    keep_console(tmp_path, tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "said"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", [contract.OUTCOME, contract.LAUNCHED, contract.SHIM_LOG, contract.RESULT])
@pytest.mark.parametrize("made", ["pipe", "link", "directory"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(tmp_path: Path, name: str, made: str) -> None:
    (tmp_path / "key").write_text('{"private": "words"}')
    launch, out = tmp_path / "launch", tmp_path / "out"
    launch.mkdir()
    out.mkdir()
    match made:
        case "pipe":
            os.mkfifo(launch / name)
        case "link":
            (launch / name).symlink_to(tmp_path / "key")
        case _:
            (launch / name).mkdir()
    match name:
        case contract.OUTCOME:
            with pytest.raises(Refused):
                launches.ending_of(launch)
        case contract.LAUNCHED:
            (launch / contract.LOCK).touch()
            assert isinstance(launches.adopt(launch), Ending)  # lost
        case contract.SHIM_LOG:
            assert launches.words_of(launch) == ""
        case _:
            with pytest.raises(Refused) as refused:
                extract(launch / name, out, TarLimits())
            assert refused.value.code == "artifacts.tar"


@pytest.mark.parametrize(
    "said",
    ["", "[]", "nonsense", '{"shim_pid": "x"}', '{"boot_id": 7}', "[" * 100_000],
)
def test_a_launch_that_says_nonsense_of_itself_is_lost(tmp_path: Path, said: str) -> None:
    (tmp_path / contract.LAUNCHED).write_text(said)
    ending = launches.adopt(tmp_path)
    assert isinstance(ending, Ending)
    assert ending.outcome is Outcome.LOST


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**70])
def test_a_process_that_cannot_be_is_not_adopted(tmp_path: Path, pid: int) -> None:
    launched = Launched(
        shim_pid=pid,
        shim_start=1,
        program_pid=1,
        program_start=1,
        boot_id=boot_id(),
        uid=1,
        launched_at="now",
        enforced=[],
        group=[],
    )
    (tmp_path / contract.LAUNCHED).write_text(json.dumps(launched))
    assert isinstance(launches.adopt(tmp_path), Ending)


@pytest.mark.parametrize("line", [b"", b"[]\n", b"1\n", b'{"error": {}}\n', b"{" * 70_000])
def test_an_answer_that_is_none_is_nothing_said(line: bytes) -> None:
    assert launches.parse_answer(line) is None


def test_what_nobody_listens_to_is_ordered_in_vain_and_without_waiting(tmp_path: Path) -> None:
    assert not launches.order_end(tmp_path, "no pipe: it has to be signalled")
    os.mkfifo(tmp_path / contract.ORDERS)
    assert launches.order_end(tmp_path, "its shim is gone")
    assert b"its shim is gone" in (tmp_path / contract.CANCEL).read_bytes()


def test_a_daemon_of_nix_that_is_closed_to_us_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Closed:
        def exists(self) -> bool:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builders, "_DAEMON_SOCKET", Closed())
    assert builders.has_daemon()
    assert builders.builders(tmp_path, network=False) == builders.Builders(prefix=(), configuration=())
    monkeypatch.setattr(builders, "_DAEMON_SOCKET", tmp_path / "none")
    assert not builders.has_daemon()


def test_a_store_that_nobody_can_fill_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builders, "_DAEMON_SOCKET", tmp_path / "none")
    monkeypatch.setattr(builders, "_STORE", tmp_path / "nix" / "store")
    monkeypatch.setattr(os, "geteuid", lambda: 986)
    assert builders.builders(tmp_path, network=False).prefix == ()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Broken) as broken:
        builders.builders(tmp_path, network=False)
    assert broken.value.code == "host.nix-daemon"
    assert "nix-daemon.socket" in (broken.value.hint or "")


def test_the_boot_is_known_where_proc_shows_processes_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = boot_id()
    monkeypatch.setattr("agentplane.runners.shim.state._BOOT_ID", str(tmp_path / "hidden"))
    monkeypatch.setenv("AGENTPLANE_BOOT_ID", real.replace("-", ""))  # as systemd writes %b
    assert boot_id() == real
