"""Archives that a guest really made, refused: each names its defect, and nothing is written."""

from pathlib import Path

import pytest

from agentplane.errors import Refused
from agentplane.guests.tarball import TarLimits
from agentplane.runners import collect
from agentplane.runners.host import Host
from agentplane.runners.plan import Caps
from agentplane.runs.states import Outcome
from tests.vm.conftest import MakePlan
from tests.vm.test_qemu_runs import run

pytestmark = pytest.mark.vm

LIMITS = TarLimits(entries=100, file_bytes=1 << 20, total_bytes=4 << 20)


@pytest.mark.parametrize(
    ("bundle", "defect"),
    [
        ("artifact-many", "more than 100 entries"),
        ("artifact-symlink", "a symbolic link"),
        ("artifact-hardlink", "a hard link"),
        ("artifact-fifo", "a fifo"),
        ("artifact-newline", "unprintable"),
    ],
)
def test_hostile_artifacts_are_refused(host: Host, plan: MakePlan, tmp_path: Path, bundle: str, defect: str) -> None:
    ending, directory = run(host, plan(bundle, caps=Caps(artifacts=LIMITS)))
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 0)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(Refused, match=defect) as refusal:
        collect.extract(directory / "result.tar", target, LIMITS)
    assert refusal.value.code == "artifacts.tar"
    assert list(target.iterdir()) == []


def test_a_terabyte_is_refused_while_it_comes(host: Host, plan: MakePlan) -> None:
    ending, directory = run(host, plan("artifact-sparse", caps=Caps(artifacts=LIMITS)))
    assert ending.outcome is Outcome.RESULT_REFUSED
    assert "larger than" in ending.message
    assert (directory / "result.tar").stat().st_size < 8 << 20
