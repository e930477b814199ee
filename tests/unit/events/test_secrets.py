"""Secrets never enter; handles, names and ordinary words do. Fixtures are put together here, so no scanner trips."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.events.secrets import find_secrets, is_secret_name, may_hold_secret

LETTERS = "Ab3dEf6hIj9kLmNoPqRsTuVwXyZ0123456789AbCd"
INLINE = {
    "pem-private-key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE",
    "age-secret-key": "AGE-SECRET-" + "KEY-1" + "Q" * 58,
    "github-token": "ghp" + "_" + LETTERS[:36],
    "gitlab-token": "glpat" + "-" + LETTERS[:20],
    "aws-access-key": "AKIA" + "IOSFODNN7EXAMPLE",
    "slack-token": "xoxb" + "-123456789012-abcdef",
    "google-api-key": "AIza" + LETTERS[:35],
    "openai-key": "sk" + "-proj-" + LETTERS[:36],
    "stripe-key": "sk" + "_live_" + LETTERS[:24],
    "npm-token": "npm" + "_" + LETTERS[:36],
    "json-web-token": "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxIn0xxx" + ".c2lnbmF0dXJl",
    "nats-seed": "SU" + "A" + "B2" * 27 + "A",
    "url-password": "postgresql://alice:" + "hunter2@db.example/x",
    "assignment": "the password: " + "hunter22",
}
PASS = [
    {"secrets": {"required": ["GITHUB_TOKEN", "DB_PASSWORD"], "secretRefRoot": "secrets://user"}},
    {"password": "secret://db/password", "token": "secrets://user/TOKEN", "apiKey": "", "secret": "DB_PASSWORD"},
    {"password": "${DB_PASSWORD}", "passwordPolicy": "at least 16 characters", "maxTokens": "5"},
    {"passwords": 3, "token": None, "secret": True, "credential": ["names", "only"]},
    {"text": "rotate the password every 90 days; see secret://db", "title": "Tokens and secrets"},
    {"payloadType": "application/vnd.in-toto+json", "payload": "eyJfdHlwZSI6ImEifQ==", "signatures": [{"sig": "AbC="}]},
    {"digest": "sha256:" + "ab" * 32, "url": "https://example.org:8443/a@b", "key_id": "ab" * 32},
    {
        "public": "-----BEGIN PUBLIC KEY-----\nMCow",
        "ssh": "ssh://git@example.org/repo",
        "task-list": "disk-" + "a" * 40,
    },
    {"text": "password: secret://db/main and api_key=vault://kv/key"},
    {"token": 42, "credentials": -7, "access_key": 999, "secret": False},  # counts, not values
    {"log": '{"password": "secret://db/main", "apiKey": "", "secret": "DB_PASSWORD", "token": 17}'},
    {"log": 'got {"password": "secret://db/main", "api_key": "API_KEY", "access_token": "[redacted]"}, went on'},
    {"log": '{"type": "object", "properties": {"password": {"type": "string"}}, "required": ["password"]}'},
    {"path": "/nix/store/abcdfghijklmnpqrsvwxyz0123456789-sk-learn", "state": "waiting_for_human"},
]


@pytest.mark.parametrize("shape", INLINE)
def test_a_credential_is_found_wherever_it_stands_and_never_repeated(shape: str) -> None:
    data = {"a": [{"b": f"see {INLINE[shape]} there"}]}
    (found,) = find_secrets(data)
    assert (found.path, found.shape) == ("data.a[0].b", shape)
    assert may_hold_secret(orjson.dumps(data))
    assert INLINE[shape] not in repr(found)


def test_a_credential_used_as_a_key_is_found_and_not_named() -> None:
    (found,) = find_secrets({"a": {INLINE["github-token"]: 1}})
    assert found.path == "data.a"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_password",
        "dbPassword",
        "DB-PASSWORD",
        "api_key",
        "apiKey",
        "token",
        "accessToken",
        "X-Auth-Token",
    ],
)
def test_inline_text_under_a_name_that_means_a_secret_is_found(key: str) -> None:
    data = {"config": {key: "correct horse"}}
    (found,) = find_secrets(data)
    assert found.path == f"data.config.{key}"
    assert is_secret_name(key)
    assert may_hold_secret(orjson.dumps(data))


def test_a_handle_does_not_cover_a_secret_beside_it() -> None:
    assert find_secrets({"password": "secret://" + INLINE["github-token"]})
    assert find_secrets({"password": "secret://a hunter2"})


@pytest.mark.parametrize("data", PASS)
def test_handles_names_and_ordinary_words_pass(data: dict[str, object]) -> None:
    assert find_secrets(data) == ()


def test_a_document_full_of_secrets_is_reported_briefly() -> None:
    assert len(find_secrets({"many": [INLINE["github-token"]] * 1000})) == 20


def test_the_cheap_look_passes_ordinary_events_by() -> None:
    assert not may_hold_secret(orjson.dumps({"executor": "exec-1", "table": ["no-kvm: absent"], "digest": "ab" * 32}))


NAMES = st.sampled_from(["password", "db_password", "dbPassword", "X-Auth-Token", "apiKey", "api.key", "client_secret"])
VALUES = st.sampled_from(["hunter2hunter2", "correct horse", *INLINE.values()]) | st.integers(1000, 2**53 - 1)
TEXTS = st.text(st.sampled_from('pasword_hunter2:/=\\u0{}[]"@- \nK\u212a\u017fé'), max_size=30)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS


def escaped(value: Any) -> str:
    """A value as JSON; of text, every character as its number."""
    if not isinstance(value, str):
        return json.dumps(value)
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in value) + '"'


def quoted(value: Any, how: str) -> str:
    """A value as JSON text, written in one of the ways that JSON has for the same."""
    if how == "slashes":
        return json.dumps(value).replace("/", "\\/")
    if how == "escapes" and isinstance(value, dict):
        members = (f"{escaped(key)}: {escaped(item)}" for key, item in value.items())
        return " {" + ", ".join(members) + "}"
    if how == "pretty":
        return json.dumps(value, indent=2)
    return orjson.dumps(value).decode()


@given(NAMES, VALUES, st.lists(st.sampled_from(["plain", "slashes", "escapes", "pretty"]), max_size=4))
def test_a_secret_is_found_however_often_and_in_whatever_way_its_document_is_quoted(
    name: str, value: str | int, ways: list[str]
) -> None:
    data: Any = {name: value}
    for how in ways:
        data = {"log": quoted(data, how)}
    found = find_secrets(data)
    assert found
    assert str(value) not in repr(found)
    assert may_hold_secret(orjson.dumps(data))


@given(
    st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | NAMES, inner, max_size=3)),
    st.integers(0, 3),
)
def test_the_cheap_look_passes_nothing_by_that_the_close_one_finds(value: Any, times: int) -> None:
    for _ in range(times):
        value = {"text": json.dumps(value, ensure_ascii=times % 2 == 1)}
    if find_secrets(value):
        assert may_hold_secret(orjson.dumps(value))


@pytest.mark.parametrize("shape", INLINE)
@pytest.mark.parametrize("how", ["slashes", "escapes"])
def test_no_shape_hides_behind_the_escapes_of_a_quoted_document(shape: str, how: str) -> None:
    data = {"log": quoted({"note": f"see {INLINE[shape]} there"}, how)}
    assert find_secrets(data)
    assert may_hold_secret(orjson.dumps(data))


def test_a_member_amid_other_text_is_found() -> None:
    for text in ('POST {"user": "a", "password": "hunter2hunter2"} -> 200', "{'api_key': 'abcdef123'} was sent"):
        (found,) = find_secrets({"log": text})
        assert (found.path, found.shape) == ("data.log", "assignment")
    twice = '{"password": "hunter2hunter2", "password": ""}'  # a parser sees the last one only
    assert find_secrets({"log": twice})


def test_a_document_that_is_nested_deeply_is_looked_through() -> None:
    deep: Any = {"db_token": "hunter22"}
    for _ in range(400):
        deep = [deep]
    (found,) = find_secrets({"log": json.dumps(deep)})
    assert found.path.endswith(".db_token")
    assert find_secrets({"log": "[" * 200_000}) == ()
