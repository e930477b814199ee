"""The license-audit bundle's pure parts: what grants a licence, and what only talks about one.

The samples are strings, as any detector's tests have them: auditing this repository must not refuse this file.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "license-audit"

NOTICE = """{0} This program is free software: you can redistribute it and/or modify
{0} it under the terms of the GNU Affero General Public License as published by
{0} the Free Software Foundation, either version 3 of the License, or
{0} (at your option) any later version.
"""
TITLE = "                    GNU AFFERO GENERAL PUBLIC LICENSE\n                       Version 3, 19 November 2007\n"
VERBATIM = "\n Everyone is permitted to copy and distribute verbatim copies\n of this license document.\n"
GPL_3 = """                    GNU GENERAL PUBLIC LICENSE
                       Version 3, 29 June 2007

  13. Use with the GNU Affero General Public License.

  Notwithstanding any other provision of this License, you have
permission to link or combine any covered work with a work licensed
under version 3 of the
GNU Affero General Public License
into a single combined work, and to convey the resulting work.
"""
MPL_2 = """Mozilla Public License Version 2.0
1.4. "Covered Software" means Source Code Form
1.12. "Secondary License" means either the GNU General Public License, Version 2.0, the GNU
Lesser General Public License, Version 2.1, the
GNU Affero General Public License, Version 3.0
or any later versions of those licenses.
"""
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy
of this software, to use, copy, sublicense, and/or sell copies.
"""


@pytest.fixture
def licensing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The bundle's package under its own names; it is not installed."""
    monkeypatch.syspath_prepend(str(BUNDLE))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield _Licensing()
    for name in [name for name in sys.modules if name == "audit" or name.partition(".")[0] == "licensing"]:
        monkeypatch.delitem(sys.modules, name)


class _Licensing:
    def module(self, name: str) -> ModuleType:
        return importlib.import_module(name)

    def scan(self, path: str, text: str) -> Any:
        return self.module("licensing.scan").scan(self.module("licensing.model").Document(path, text))

    def granted(self, path: str, text: str) -> list[str]:
        return [name for finding in self.scan(path, text).findings for name in finding.identifiers]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("LICENSE", TITLE + VERBATIM, ["AGPL-3.0-only"]),
        ("COPYING", TITLE + VERBATIM + "\n" + GPL_3, ["AGPL-3.0-only", "GPL-3.0-only"]),
        ("LICENSE", "Copyright (C) 2020 Somebody\n" + TITLE, ["AGPL-3.0-only"]),
        ("LICENSE.md", "# GNU Affero General Public License v3\n", ["AGPL-3.0-only"]),
        ("LICENSE", "AGPL-3.0-or-later\n", ["AGPL-3.0-or-later"]),
        ("docs/terms.txt", TITLE + VERBATIM + "word " * 1600, ["AGPL-3.0-only"]),
        ("COPYING.AGPL", "see the web\n", ["AGPL"]),
        ("LICENSES/AGPL-3.0-only.txt", "(the text)\n", ["AGPL-3.0-only"]),
        ("LICENSE", NOTICE.format(""), ["AGPL-3.0-or-later"]),
        ("debian/copyright", "Files: *\nLicense: AGPL-3+\n", ["License: AGPL-3+"]),
        ("README.md", "# x\n\n" + NOTICE.format(""), ["AGPL-3.0-or-later"]),
        ("README.md", "# x\n\nThis project is licensed under the AGPL v3.\n", ["AGPL-3.0-only"]),
    ],
)
def test_licence_files_grant(licensing: Any, path: str, text: str, expected: list[str]) -> None:
    assert sorted(licensing.granted(path, text)) == expected


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "# SPDX-License-Identifier: AGPL-3.0-only\n"),
        ("a.py", "import os\n\nx = 1  # SPDX-License-Identifier: AGPL-3.0-only\n"),
        ("a.c", "/* SPDX-License-Identifier: (GPL-2.0-only OR AGPL-3.0-only) */\n"),
        ("a.go", "package a\n\n// SPDX-License-Identifier: AGPL-3.0-or-later\n"),
        ("a.sh", "#!/bin/sh\n# SPDX-License-Identifier: agpl-3.0\n"),
        ("a.nix", "/*\n  SPDX-License-Identifier: AGPL-3.0-only\n*/\n{ }\n"),
        ("a.html", "<!-- SPDX-License-Identifier: AGPL-3.0-only -->\n<html></html>\n"),
        ("a.png.license", "SPDX-FileCopyrightText: x\n\nSPDX-License-Identifier: AGPL-3.0-only\n"),
        ("a.py", "#!/usr/bin/env python3\n" + NOTICE.format("#")),
        ("a.py", '"""Does things.\n\n' + NOTICE.format("") + '"""\n'),
        ("a.js", "/*\n" + NOTICE.format(" *") + " */\n"),
        ("a.lisp", NOTICE.format(";;")),
    ],
)
def test_statements_in_comments_grant(licensing: Any, path: str, text: str) -> None:
    granted = licensing.granted(path, text)
    assert any(licensing.module("licensing.expression").is_agpl(name) for name in granted), granted


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", '[project]\nname = "x"\nlicense = "AGPL-3.0-only"\n'),
        ("pyproject.toml", '[project]\nlicense = { text = "GNU AGPLv3" }\n'),
        (
            "pyproject.toml",
            '[project]\nclassifiers = ["License :: OSI Approved :: GNU Affero General Public License v3"]\n',
        ),
        ("package.json", '{"license": "AGPL-3.0"}'),
        ("web/package.json", '{"licenses": [{"type": "MIT"}, {"type": "AGPL-3.0"}]}'),
        ("package-lock.json", '{"packages": {"node_modules/x": {"license": "AGPL-3.0-or-later"}}}'),
        ("Cargo.toml", '[package]\nlicense = "MIT OR AGPL-3.0-only"\n'),
        ("REUSE.toml", '[[annotations]]\npath = "**"\nSPDX-License-Identifier = "AGPL-3.0-only"\n'),
        ("setup.cfg", "[metadata]\nlicense = AGPLv3+\n"),
        ("x.dist-info/METADATA", "Name: x\nLicense-Expression: AGPL-3.0-only\n"),
        ("setup.py", 'setup(name="x", license="AGPL")\n'),
        ("default.nix", "{\n  license = lib.licenses.agpl3Only;\n}\n"),
        ("x.spec", "Name: x\nLicense: AGPLv3+\n"),
        ("CITATION.cff", "cff-version: 1.2.0\nlicense: AGPL-3.0-or-later\n"),
        ("x.gemspec", 'spec.licenses = ["AGPL-3.0"]\n'),
        ("pom.xml", "<license>\n  <name>GNU Affero General Public License v3</name>\n</license>\n"),
    ],
)
def test_package_metadata_grants(licensing: Any, path: str, text: str) -> None:
    report = licensing.scan(path, text)
    assert [finding.kind for finding in report.findings].count("metadata") >= 1
    assert licensing.module("licensing.report").build([report], _totals(licensing)).refused


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/policy.md", "# Licences\n\nNothing under the GNU Affero General Public License (AGPL-3.0) may enter.\n"),
        ("LICENSE-POLICY.md", "# GNU Affero General Public License\n\nis refused here.\n"),
        ("LICENSE-policy.txt", "AGPL-3.0-only\n"),
        ("detector.py", "PATTERNS = ['AGPL-3.0-only', 'GNU AFFERO GENERAL PUBLIC LICENSE']\n"),
        ("detector.py", 'TAG = """\n# SPDX-License-Identifier: AGPL-3.0-only\n"""\n'),
        ("test_x.py", f"SAMPLE = '''\n{NOTICE.format('#')}'''\n"),
        ("make.sh", "cat >x <<E\n# SPDX-License-Identifier: AGPL-3.0-only\nE\n"),
        ("a.py", '"""Refuses `SPDX-License-Identifier: AGPL-3.0-only` and every other Affero licence."""\n'),
        ("README.md", "This project is not licensed under the AGPL.\n"),
        ("README.md", "agplaudit: finds AGPL, exits non-zero.\n"),
        ("spdx.json", '{"licenses": [{"licenseId": "AGPL-3.0-only"}]}'),
        ("package.json", '{"license": "MIT", "description": "AGPL-3.0 finder"}'),
        ("LICENSE", GPL_3),
        ("LICENSE", MPL_2),
        ("docs/notes.txt", TITLE + "\nThat is how its text begins.\n"),
    ],
)
def test_a_mention_is_shown_and_grants_nothing(licensing: Any, path: str, text: str) -> None:
    report = licensing.scan(path, text)
    assert not licensing.module("licensing.report").build([report], _totals(licensing)).refused
    assert report.mentions


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("LICENSE", MIT, ["MIT"]),
        ("LICENSE", MPL_2, ["MPL-2.0"]),
        ("LICENSE", GPL_3, ["GPL-3.0-only"]),
        ("LICENSES/MIT.txt", "(the text)", ["MIT"]),
        ("a.py", "# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception\n", ["Apache-2.0 WITH LLVM-exception"]),
        ("pyproject.toml", "not toml [", []),
        ("package.json", "[1, 2]", []),
        ("package.json", "[" * 100_000, []),
        ("setup.cfg", "no section\n", []),
        ("a.py", "x = (\n# SPDX-License-Identifier: MIT\n", ["MIT"]),
        ("bundle.json", '{"metadata": {"licensePolicy": {"allowAGPL": false}}}', []),
        ("src/license.py", "x = 1\n", []),
        ("empty", "", []),
    ],
)
def test_other_licences_and_broken_files(licensing: Any, path: str, text: str, expected: list[str]) -> None:
    assert licensing.granted(path, text) == expected


def test_an_expression_is_split_into_its_licences(licensing: Any) -> None:
    identifiers = licensing.module("licensing.expression").identifiers
    assert identifiers("(MIT OR Apache-2.0 WITH LLVM-exception) AND BSD-3-Clause") == (
        "Apache-2.0 WITH LLVM-exception",
        "BSD-3-Clause",
        "MIT",
    )
    assert identifiers("MIT/Apache-2.0") == ("Apache-2.0", "MIT")


def test_the_report_is_the_same_whatever_the_order(licensing: Any) -> None:
    report = licensing.module("licensing.report")
    files = [licensing.scan("b/LICENSE", MIT), licensing.scan("a.py", "# SPDX-License-Identifier: AGPL-3.0-only\n")]
    first = report.build(files, _totals(licensing))
    second = report.build(reversed(files), _totals(licensing))
    assert report.to_json(first) == report.to_json(second)
    document = json.loads(report.to_json(first))
    assert (document["verdict"], document["licenses"]) == ("refused", {"AGPL-3.0-only": 1, "MIT": 1})
    assert report.to_markdown(first).startswith("# Licence audit\n\nREFUSED: 1 AGPL; 2 licences")


def test_foreign_text_cannot_become_markup(licensing: Any) -> None:
    report = licensing.module("licensing.report")
    name = "x`](javascript:1).py"
    text = report.to_markdown(
        report.build([licensing.scan(name, "# SPDX-License-Identifier: AGPL-3.0\n")], _totals(licensing)),
    )
    assert "x']" in text
    assert "x`]" not in text


def test_the_program_refuses_by_exit_status(licensing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = licensing.module("audit")
    tree, out = tmp_path / "tree", tmp_path / "out"
    (tree / ".git").mkdir(parents=True)
    out.mkdir()
    (tree / ".git" / "COPYING").write_text(TITLE)
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "data").write_bytes(b"\0AGPL-3.0")
    (tree / "a.py").write_text("# SPDX-License-Identifier: MIT\n")
    assert audit.main([str(tree), str(out)]) == 0
    document = json.loads((out / "report.json").read_text())
    assert (document["textFiles"], document["binaryFiles"]) == (1, 1)

    (tree / "LICENSE").write_text(TITLE)
    assert audit.main([str(tree), str(out)]) == 1
    assert "LICENSE:1: AGPL-3.0-only (license-text)" in capsys.readouterr().out
    assert audit.main([str(tmp_path / "none"), str(out)]) == 2
    assert audit.main([]) == 2


def test_this_repository_passes(licensing: Any) -> None:
    audit, report = licensing.module("audit"), licensing.module("licensing.report")
    directories = sorted(path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    assert BUNDLE.parent in directories
    assert [finding for path in directories for finding in report.build(*audit.audit(path)).refused] == []


def _totals(licensing: Any) -> Any:
    return licensing.module("licensing.model").TreeTotals(text_files=1, binary_files=0)
