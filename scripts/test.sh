#!/usr/bin/env bash
# Proves the repository: lint, types, import contracts, every test. Sets up what it needs. Arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$root"
step "ruff"
ruff check .
ruff format --check .
step "mypy"
mypy
step "import contracts"
lint-imports
step "docs/errors.md"
python scripts/error_codes.py --check
step "generated schemas"
python scripts/schemas.py --check
step "docs/options.md"
python scripts/option_docs.py --check
step "shell scripts"
for script in scripts/*.sh vm/*.sh modules/lib/*.sh .ci/run; do bash -n "$script"; done
step "nix files"
find . -name '*.nix' -not -path './.*' -print0 | xargs -0 nix-instantiate --parse >/dev/null
step "pytest"
AGENTPLANE_REQUIRE_VM=1 AGENTPLANE_REQUIRE_STACK=1 exec pytest "$@"
