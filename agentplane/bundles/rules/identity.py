"""What the bundle is: apiVersion, kind, name, version, creation time, license. Pure."""

import re
from typing import Final

from agentplane.bundles.case import MISSING, Case, Findings, fail, quote, warn
from agentplane.bundles.model import V0_1, V0_2
from agentplane.clock import parse_rfc3339

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}")
_SEMVER: Final = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def api_version(case: Case) -> Findings:
    """`apiVersion` is one that we read."""
    found = case.get("apiVersion")
    if found not in (V0_1, V0_2):
        said = "is missing" if found is MISSING else f"is {quote(found)}"
        yield fail("api-version", ("apiVersion",), f"apiVersion {said}", f"Use {V0_1} or {V0_2}.")


def kind(case: Case) -> Findings:
    """`kind` is Bundle."""
    found = case.get("kind")
    if found != "Bundle":
        said = "is missing" if found is MISSING else f"is {quote(found)}"
        yield fail("kind", ("kind",), f"kind {said}; a bundle is of kind Bundle", "Is this the right document?")


def name(case: Case) -> Findings:
    """The name is a word that runs, paths and subjects can carry."""
    found = case.text("metadata", "name")
    if found is not None and not NAME.fullmatch(found):
        hint = "2 to 63 lower-case letters, digits and '-', not starting with '-'."
        yield fail("name", ("metadata", "name"), f"name {quote(found)} is not allowed", hint)


def version(case: Case) -> Findings:
    """The version can stand in `name@version`; it should be a semantic version."""
    found = case.text("metadata", "version")
    if found is None:
        return
    path = ("metadata", "version")
    if not VERSION.fullmatch(found):
        hint = "Letters, digits and . _ + ~ -, at most 64, for example 0.1.0."
        yield fail("version", path, f"version {quote(found)} cannot stand in a bundle reference", hint)
    elif not _SEMVER.fullmatch(found):
        yield warn(
            "version.semver", path, f"version {quote(found)} is not a semantic version", "Use MAJOR.MINOR.PATCH."
        )


def created_at(case: Case) -> Findings:
    """The creation time is an instant."""
    found = case.text("metadata", "createdAt")
    if found is not None and not is_instant(found):
        hint = "Write RFC 3339 with an offset, for example 2026-01-31T12:00:00Z."
        yield fail("created-at", ("metadata", "createdAt"), f"createdAt {quote(found)} is not a time", hint)


def is_instant(text: str) -> bool:
    """Whether a text is an RFC 3339 time with an offset."""
    if not _RFC3339.fullmatch(text):
        return False
    try:
        parse_rfc3339(text.upper())
    except (ValueError, OverflowError):
        return False
    return True


def license_policy(case: Case) -> Findings:
    """The bundle declares that it holds no AGPL; saying nothing is not enough."""
    if case.block("metadata") is None:
        return
    path = ("metadata", "licensePolicy", "allowAGPL")
    found = case.get(*path)
    hint = 'Set metadata.licensePolicy to {"allowAGPL": false}, and mean it.'
    if found is MISSING:
        yield fail("license.undeclared", path, "allowAGPL is not declared", hint)
    elif found is not False:
        yield fail("license.agpl", path, f"allowAGPL is {quote(found)}, must be false", hint)
