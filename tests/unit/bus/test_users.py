"""Who may connect, as operators write it, and the configuration that it becomes."""

import json
from pathlib import Path

import pytest

from agentplane.bus.configure import main, merged
from agentplane.bus.users import BusUsers
from agentplane.daemon.config import check_settings
from agentplane.errors import Refused

KEYS = [f"U{letter * 55}" for letter in "ABCD"]


def users(**fields: object) -> BusUsers:
    return check_settings(fields, BusUsers, origin="users.json")


def test_settings_keep_what_they_say_and_get_the_users() -> None:
    mine = {"nkey": KEYS[3]}
    document = merged(
        {"port": 4222, "authorization": {"timeout": 2, "users": [mine]}},
        users(control=KEYS[0], executors={"exec-a": KEYS[1]}),
        origin="x",
    )
    assert document["port"] == 4222
    assert document["authorization"]["timeout"] == 2
    first, control, executor = document["authorization"]["users"]
    assert (first, control["nkey"], executor["nkey"]) == (mine, KEYS[0], KEYS[1])
    allowed = executor["permissions"]["publish"]["allow"]
    assert "agentplane-executor.exec-a.report" in allowed
    assert not any("exec-b" in subject or subject == ">" for subject in allowed)


def test_a_person_may_only_speak_for_the_own_tenant() -> None:
    document = merged({}, users(people={"alice": {"nkey": KEYS[0], "tenant": "acme"}}), origin="x")
    (alice,) = document["authorization"]["users"]
    assert alice["permissions"]["publish"]["allow"] == [
        "agentplane.acme.intent.>",
        "agentplane-query.acme.*",
        "agentplane-attest.acme.executor-keys",
    ]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"control": "SUAAAA"}, "control: .*public user key"),
        ({"control": KEYS[0][:-1]}, "control: .*public user key"),
        ({"executors": {"Exec A": KEYS[0]}}, "executors.*DNS label"),
        ({"people": {"alice": {"nkey": KEYS[0], "tenant": "a.>"}}}, r"people\.alice\.tenant"),
        ({"people": {"alice": {"nkey": KEYS[0], "tenant": "system"}}}, r"people\.alice\.tenant.*the platform's own"),
        ({"people": {"alice": {"nkey": KEYS[0], "lane": "x"}}}, r"people\.alice\.lane"),
        ({"exec": {}}, "exec: "),
    ],
)
def test_a_wrong_user_is_named(document: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        check_settings(document, BusUsers, origin="users.json")


def test_two_with_one_key_are_refused_by_name() -> None:
    with pytest.raises(Refused, match="executor exec-a: control has this key"):
        merged({}, users(control=KEYS[0], executors={"exec-a": KEYS[0]}), origin="x")


def test_accounts_of_their_own_are_not_mixed_with_users() -> None:
    with pytest.raises(Refused) as caught:
        merged({"accounts": {}}, users(control=KEYS[0]), origin="x")
    assert caught.value.code == "bus.settings"
    assert merged({"accounts": {"A": {}}}, users(), origin="x") == {"accounts": {"A": {}}}


def test_the_program_prints_json_or_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "users.json").write_text(json.dumps({"control": KEYS[0]}))
    (tmp_path / "settings.json").write_text('{"port": 1}')
    argv = ["--users", str(tmp_path / "users.json"), "--settings", str(tmp_path / "settings.json")]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["port"] == 1
    (tmp_path / "users.json").write_text('{"contrl": "U"}')
    assert main(argv) == 2
    assert "contrl" in capsys.readouterr().err


def test_with_an_issuer_everybody_else_is_asked_about() -> None:
    by_hand, issuer = {"nkey": KEYS[3]}, "A" * 56
    named = users(control=KEYS[0], issuer=issuer, watcher=KEYS[1], people={"op": {"nkey": KEYS[2], "operator": True}})
    document = merged({"authorization": {"users": [by_hand]}}, named, origin="x")
    callout = document["authorization"]["auth_callout"]
    assert callout["issuer"] == issuer
    assert set(callout["auth_users"]) == set(KEYS)
    (watcher,) = document["accounts"][document["system_account"]]["users"]
    assert watcher["nkey"] == KEYS[1]
    assert watcher["permissions"]["publish"]["allow"] == ["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"]
    operator = document["authorization"]["users"][-1]
    assert "agentplane.system.intent.Executor.>" in operator["permissions"]["publish"]["allow"]


def test_an_issuer_without_a_watcher_is_refused() -> None:
    with pytest.raises(Refused, match="go together"):
        users(issuer="A" * 56)
