"""Why a line cannot be imported: stable codes. Those of `agentplane.store.prepare` come on top."""

from typing import Final

CODES: Final[dict[str, str]] = {
    "import.json": "the line is not one JSON object in UTF-8, or a key stands twice in it",
    "import.line": "the line has no form that is known, or a field of its form is missing or no text",
    "import.time": "its time is no ISO 8601 time",
    "import.tenant": "it says that it is another tenant's event",
    "import.too-large": "the line is larger than what the store takes",
    "import.conflict": "its id is in the log, or in an earlier line, with another body",
    "import.file": "the file cannot be read, or was changed while it was read",
    "import.batch": "an importer sent more lines at once than it may",
    "history.cycle": "it and other lines cause each other in a circle",
}
