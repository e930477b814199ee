"""Mounts: where the artifact directory appears in the guest, and nothing else. Pure."""

import posixpath
from typing import Final

from agentplane.bundles.case import Case, Findings, Path, fail, quote, warn
from agentplane.bundles.paths import candidates, out_dir
from agentplane.documents.findings import Finding

_TYPES_V0_1: Final = ("virtiofs", "9p", "podman-bind", "wsl-bind", "topolvm-local-pv", "none")
_TYPES_V0_2: Final = ("virtiofs", "9p", "none")
# what a guest needs of its own, or what we put there
_SYSTEM: Final = (
    *("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "nix", "proc", "root", "run", "sbin", "sys", "usr", "var"),
    *("artifacts", "inputs", "scratch", "tmp"),
)


def mounts(case: Case) -> Findings:
    """Every mount is of a known type, from the bundle or its outDir, to a place of its own."""
    targets: set[str] = set()
    for index in range(len(case.items("spec", "vm", "mounts"))):
        path: Path = ("spec", "vm", "mounts", index)
        kind = case.text(*path, "type")
        if kind == "none" and not case.text(*path, "source") and not case.text(*path, "target"):
            continue  # the seeds' way to say: no mount
        yield from _type(case, path)
        yield from _source(case, path)
        yield from _target(case, path, targets)


def _type(case: Case, path: Path) -> Findings:
    found, known = case.text(*path, "type"), _TYPES_V0_2 if case.is_v0_2 else _TYPES_V0_1
    if found is not None and found not in known:
        hint = f"Use one of {', '.join(known)}."
        yield fail("mount.type", (*path, "type"), f"mount type {quote(found)} does not exist", hint)


def _source(case: Case, path: Path) -> Findings:
    found, place = case.text(*path, "source"), (*path, "source")
    if found is None:
        return
    asked = case.text("spec", "artifacts", "outDir")
    if asked is not None and out_dir(asked) is not None and out_dir(found) == out_dir(asked):
        yield from _artifacts(case, path)
    elif not candidates(found):
        hint = "Mount spec.artifacts.outDir, or a directory of the bundle."
        yield fail("mount.source-escapes", place, f"source {quote(found)} is outside of the bundle", hint)
    elif case.file(found).type not in {"directory", "regular"}:
        hint = "Mount spec.artifacts.outDir, or a directory that is in the bundle."
        yield fail("mount.source-missing", place, f"source {quote(found)} is not in the bundle", hint)
    else:
        hint = "The bundle's files are the working directory of the smoke script; read them there."
        message = "only the artifact directory is mounted; this target will not exist in the guest"
        yield warn("mount.not-delivered", place, message, hint)


def _artifacts(case: Case, path: Path) -> Findings:
    if case.get(*path, "ro") is True:
        message = "a read-only artifact directory is not delivered"
        yield warn("mount.not-delivered", (*path, "ro"), message, "Set ro to false.")


def _target(case: Case, path: Path, seen: set[str]) -> Findings:
    found, place = case.text(*path, "target"), (*path, "target")
    if found is None:
        return
    finding = _bad_target(found, place, seen)
    if finding is not None:
        yield finding
    seen.add(found)


def _bad_target(target: str, place: Path, seen: set[str]) -> Finding | None:
    hint = "Use a path like /mnt/artifacts."
    if not target.startswith("/") or not target.isprintable() or ":" in target or "\\" in target:
        return fail("mount.target", place, f"target {quote(target)} is not an absolute path", hint)
    if target.startswith("//") or posixpath.normpath(target) != target.rstrip("/"):
        return fail("mount.target", place, f"target {quote(target)} is not written plainly", hint)
    if target.split("/")[1] in _SYSTEM:
        return fail("mount.target-system", place, f"target {quote(target)} would cover a part of the guest", hint)
    if target in seen:
        return fail("mount.target-twice", place, f"target {quote(target)} is used twice", hint)
    return None
