"""Secrets never enter; handles, names and ordinary words do. Fixtures are put together here, so no scanner trips."""

import orjson
import pytest

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
