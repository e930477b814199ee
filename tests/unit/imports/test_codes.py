"""The table of codes has exactly those that the source raises for lines."""

import re
from pathlib import Path

import agentplane.imports
from agentplane.imports.codes import CODES


def test_every_code_of_a_line_is_in_the_table() -> None:
    package = Path(agentplane.imports.__file__).parent
    text = "".join(path.read_text() for path in package.glob("*.py") if path.name != "codes.py")
    assert set(re.findall(r'"((?:import|history)\.[a-z-]+)"', text)) == set(CODES)
