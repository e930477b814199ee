"""An executor's own keys: made once, whole, for nobody else to read; changed by renames that a crash may interrupt."""

from pathlib import Path

import pytest

from agentplane.daemon.config import check_settings
from agentplane.errors import AgentplaneError, NotFound
from services.executor.config import ExecutorSettings
from services.executor.identity import has_next, load_identity, next_identity, promote


def settings(state: Path, **more: object) -> ExecutorSettings:
    document = {
        "name": "exec-a",
        "state_dir": str(state),
        "nats": {"servers": ["nats://127.0.0.1:4222"]},
        "control_public_key_file": "/etc/agentplane/control.pub",
        "vm_kit": "/usr/share/agentplane/vm",
        **more,
    }
    return check_settings(document, ExecutorSettings, origin="test")


def test_keys_are_made_once_and_are_nobody_elses_to_read(tmp_path: Path) -> None:
    first, second = load_identity(settings(tmp_path)), load_identity(settings(tmp_path))
    assert first.keys == second.keys
    assert first.renewable
    private = [tmp_path / "keys/current" / name for name in ("executor.key", "nats.nkey")]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600, 0o600]
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


def test_a_named_key_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_identity(settings(tmp_path, signing_key_file=str(tmp_path / "absent.key")))
    assert caught.value.code == "evidence.key.missing"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_identity(settings(tmp_path))
    (tmp_path / "keys/current/executor.key").chmod(0o644)
    with pytest.raises(AgentplaneError) as caught:
        load_identity(settings(tmp_path))
    assert caught.value.code == "evidence.key.permissions"


def test_next_keys_take_over_and_the_old_public_half_stays_for_the_journal(tmp_path: Path) -> None:
    config = settings(tmp_path)
    old = load_identity(config)
    signer, keys = next_identity(config)
    assert next_identity(config)[1] == keys  # asked twice, made once
    promote(config, old.signer)
    new = load_identity(config)
    assert new.keys == keys
    assert new.signer.key_id == signer.key_id
    assert not has_next(config)
    assert {key.key_id for key in new.journal_keys.keys()} == {old.signer.key_id, signer.key_id}  # noqa: SIM118
    left = {str(path.relative_to(tmp_path / "keys")) for path in (tmp_path / "keys").rglob("*") if path.is_file()}
    own = {f"current/{name}" for name in ("executor.key", "executor.pub", "nats.nkey")}
    assert left == own | {f"former/{old.signer.key_id}.pub"}


def test_a_crash_between_the_renames_costs_nothing(tmp_path: Path) -> None:
    config = settings(tmp_path)
    load_identity(config)
    _, keys = next_identity(config)
    (tmp_path / "keys/current").rename(tmp_path / "keys/.0123.gone")
    assert load_identity(config).keys == keys
    assert not (tmp_path / "keys/.0123.gone").exists()


def test_a_crash_while_keys_are_made_leaves_none_that_are_half(tmp_path: Path) -> None:
    draft = tmp_path / "keys/.next.new"
    draft.mkdir(parents=True)
    (draft / "executor.key").write_text("half")
    assert load_identity(settings(tmp_path)).renewable
    assert not draft.exists()
