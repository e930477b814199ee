"""What must be on disk, and where a run may write. Pure: facts were gathered by the edge."""

from agentplane.bundles.case import Case, Findings, Path, fail, quote
from agentplane.bundles.paths import candidates
from agentplane.bundles.paths import out_dir as normal_out_dir

_MODULE: Path = ("spec", "vm", "modulePath")
_SMOKE: Path = ("spec", "smoke", "script")


def module(case: Case) -> Findings:
    """The guest's module is a file of the bundle."""
    found = case.text(*_MODULE)
    if found is not None:
        yield from _present(case, "module", _MODULE, found)


def smoke(case: Case) -> Findings:
    """The smoke script is a file of the bundle, with its run bit."""
    found = case.text(*_SMOKE)
    if found is None:
        return
    yield from _present(case, "smoke", _SMOKE, found)
    fact = case.file(found)
    if fact.type == "regular" and not fact.executable:
        message = f"smoke script {quote(found)} has no run bit"
        yield fail("smoke.not-executable", _SMOKE, message, f"chmod +x {fact.path}")
    elif fact.type == "regular" and fact.size_bytes == 0:
        yield fail(
            "smoke.empty", _SMOKE, f"smoke script {quote(found)} is empty", "A check that checks nothing is none."
        )


def _present(case: Case, what: str, path: Path, found: str) -> Findings:
    if not candidates(found):
        hint = "Use a path relative to the bundle's directory, without leading '/' and '..'."
        yield fail(f"{what}.escapes", path, f"{quote(found)} leads out of the bundle", hint)
        return
    match case.file(found).type:
        case "regular" | "symlink":  # `tree` speaks of a link that leads out
            return
        case "missing":
            hint = "Add the file, or correct the path (relative to the bundle's directory)."
            yield fail(f"{what}.missing", path, f"{quote(found)} is not in the bundle", hint)
        case kind:
            yield fail(f"{what}.not-a-file", path, f"{quote(found)} is a {kind}, not a file", "Name a regular file.")


def tree(case: Case) -> Findings:
    """Nothing in the bundle's directory leads out of it, and there is nothing but files, directories and links."""
    for fact in sorted(case.files.values(), key=lambda fact: fact.path):
        if fact.type == "symlink":
            message = f"link {quote(fact.path)} leads out of the bundle, or nowhere"
            yield fail("files.symlink", (), message, "Put the file itself there, or a relative link within the bundle.")
        elif fact.type == "other":
            message = f"{quote(fact.path)} is neither file, directory nor link"
            yield fail("files.special", (), message, "Remove it (a FIFO, socket or device has no place in a bundle).")


def out_dir(case: Case) -> Findings:
    """Artifacts go below the run's directory, never beside it, never onto it."""
    path = ("spec", "artifacts", "outDir")
    found = case.text(*path)
    if found is not None and normal_out_dir(found) is None:
        hint = "Use a relative path that stays below, for example ./artifacts."
        yield fail("out-dir", path, f"outDir {quote(found)} is not inside the run's directory", hint)
