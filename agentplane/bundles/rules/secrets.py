"""Secrets: by reference only. Pure; what looks like a value is named by its place and shape, never shown."""

import re
from typing import Any, Final

from agentplane.bundles.case import Case, Findings, Path, fail, quote, warn
from agentplane.events.secrets import ANY_SHAPE, find_secrets, is_secret_name

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ROOT: Final = re.compile(r"secrets?://[A-Za-z0-9._/-]*")
_FIELDS: Final = ("required", "secretRefRoot")
_HINT: Final = "Name the secret in spec.secrets.required; its value stays with the executor."
_LOGIN_KEYS: Final = frozenset({"username", "katellopassword", "katellotoken"})  # the seeds' rule for sociosAutomation


def references(case: Case) -> Findings:
    """Required secrets are names, each once, below a `secrets://` root."""
    names, seen = case.items("spec", "secrets", "required"), set[str]()
    for index, name in enumerate(names):
        path = ("spec", "secrets", "required", index)
        if not isinstance(name, str) or ANY_SHAPE.search(name):
            continue  # the schema's, and `inline`'s
        if not _NAME.fullmatch(name):
            yield fail("secret.name", path, f"{quote(name)} is not a secret's name", "Letters, digits and . _ - only.")
        elif name in seen:
            yield fail("secret.twice", path, f"secret {quote(name)} is required twice", "Name it once.")
        seen.add(name)
    yield from _root(case, needed=bool(names))


def _root(case: Case, *, needed: bool) -> Findings:
    path = ("spec", "secrets", "secretRefRoot")
    found = case.text(*path)
    if found is None or (_ROOT.fullmatch(found) and ".." not in found.split("/")):
        return
    say = fail if needed else warn
    yield say("secret.root", path, f"secretRefRoot {quote(found)} is no reference", "Write secrets://group.")


def inline(case: Case) -> Findings:
    """No secret's value stands anywhere in the document."""
    for key in case.block("spec", "secrets") or {}:
        if key not in _FIELDS:
            path = ("spec", "secrets", key)
            yield fail("secret.inline", path, "spec.secrets holds names and references only", _HINT)
    for key in case.block("spec", "sociosAutomation") or {}:
        if key.lower() in _LOGIN_KEYS:
            path = ("spec", "sociosAutomation", key)
            yield fail("secret.inline", path, "credentials do not stand in the document", _HINT)
    yield from _search(case.value, (), "")


def _search(value: Any, path: Path, key: str) -> Findings:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for name, item in value.items():
            if ANY_SHAPE.search(name):
                yield fail("secret.inline", (*path, name), "a key has the shape of a secret", _HINT)
            yield from _search(item, (*path, name), name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _search(item, (*path, index), key)
    elif isinstance(value, str):
        for found in find_secrets({key: value}):
            shape = f"under a key that means a secret ({key})" if found.shape == "secret-key-name" else found.shape
            yield fail("secret.inline", path, f"looks like a secret: {shape}", _HINT)
    elif isinstance(value, int) and not isinstance(value, bool) and is_secret_name(key):
        yield fail("secret.inline", path, f"a number under a key that means a secret ({key})", _HINT)
