"""What the tests of verification share: the stories' keys, the check itself, and ways to change an export."""

from collections.abc import Callable

from msgspec.structs import replace

from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.verify import VerifyReport, verify_export
from agentplane.runs.model import GuestPin, StorePath
from agentplane.runs.states import Outcome
from tests.unit.evidence.story import FINISHED, NOW, Story, as_export

KEYS = Story().keys()
ELSEWHERE = StorePath(path="/nix/store/1-source", nar_hash="sha256:1")
GUEST = GuestPin(spec=StorePath(path="/nix/store/0-guest", nar_hash="sha256:0"), kernel="/nix/store/0-k", qemu="7.2.0")
DIVERGED = replace(FINISHED, exit_code=3, succeeded=False)
TIMED_OUT = replace(FINISHED, outcome=Outcome.TIMEOUT, exit_code=-1, succeeded=False)

Contents = dict[str, bytes]


def check(contents: dict[str, bytes], trusted: TrustedKeys = KEYS) -> VerifyReport:
    return verify_export(as_export(contents), trusted, NOW)


def failed_steps(report: VerifyReport) -> list[str]:
    return [step.name for step in report.steps if step.status == "fail"]


def lines(contents: Contents, change: Callable[[list[bytes]], list[bytes]]) -> Contents:
    records = contents["evidence.jsonl"].split(b"\n")[:-1]
    return {**contents, "evidence.jsonl": b"".join(line + b"\n" for line in change(records))}


def without(contents: Contents, *paths: str) -> Contents:
    return {path: data for path, data in contents.items() if path not in paths}
