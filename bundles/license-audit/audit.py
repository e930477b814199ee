"""Audit the licences of a source tree: the bundle's thin shell around `licensing`, which is pure.

usage: audit.py TREE OUT_DIR. Reads regular files of TREE, follows no link, writes OUT_DIR/report.json and report.md.
The same tree gives the same bytes: paths are sorted, nothing of the clock or the machine enters.
Exit status: 0 no AGPL, 1 AGPL found, 2 there is no tree to audit.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from licensing.model import Document, FileReport, TreeTotals
from licensing.report import build, to_json, to_markdown
from licensing.scan import scan

# Licences and headers are at the start; a file's tail beyond this is data.
MAX_READ_BYTES = 1 << 20
SKIPPED_DIRECTORIES = frozenset({".git"})


def files_of(tree: Path) -> Iterator[Path]:
    """Regular files in the order of their paths; links and special files are left out."""
    for directory, names, files in os.walk(tree):
        names[:] = sorted(name for name in names if name not in SKIPPED_DIRECTORIES)
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                yield path


def shown(path: Path) -> str:
    """A path as text, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(path: Path, tree: Path) -> Document | None:
    """The file as a document; None for a binary file."""
    with path.open("rb") as file:
        data = file.read(MAX_READ_BYTES)
    if b"\0" in data:
        return None
    return Document(shown(path.relative_to(tree)), data.decode("utf-8", "replace"))


def audit(tree: Path) -> tuple[list[FileReport], TreeTotals]:
    """What every file of the tree says about licences, and how much was looked at."""
    reports, texts, binaries = [], 0, 0
    for path in files_of(tree):
        document = read(path, tree)
        if document is None:
            binaries += 1
            continue
        texts += 1
        report = scan(document)
        if report.findings or report.mentions:
            reports.append(report)
    return reports, TreeTotals(text_files=texts, binary_files=binaries)


def main(arguments: list[str]) -> int:
    """Run the audit. Returns the exit status."""
    if len(arguments) != 2:  # noqa: PLR2004 - TREE and OUT_DIR
        print("usage: audit.py TREE OUT_DIR", file=sys.stderr)
        return 2
    tree, out_dir = Path(arguments[0]), Path(arguments[1])
    if not tree.is_dir():
        print(f"{tree} is not a directory; give the run its input: --input tree=PATH", file=sys.stderr)
        return 2
    report = build(*audit(tree))
    (out_dir / "report.json").write_text(to_json(report), encoding="utf-8")
    (out_dir / "report.md").write_text(to_markdown(report), encoding="utf-8")
    print(report.summary)
    for finding in report.refused:
        print(f"  {finding.path}:{finding.line}: {finding.expression} ({finding.kind})")
    return 1 if report.refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
