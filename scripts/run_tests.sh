#!/usr/bin/env bash
# Style, types and tests: bash scripts/run_tests.sh [--with-reference] [PYTEST ARGUMENTS]
#   --with-reference   also installs torch and transformers, and compares with them live
#   PYTHON=...         the interpreter .venv is made with (only when there is no .venv yet)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/python_environment.sh
source "$root/scripts/python_environment.sh"

requirements="requirements-test.txt"
if [[ ${1:-} == --with-reference ]]; then
    requirements="requirements-dev.txt"
    shift
fi

make_environment
install_requirements "$requirements"
cd "$root"
status=0
"$python" -m ruff check . || status=$?
"$python" -m ruff format --check --quiet . || status=$?
"$python" -m mypy src run_*.py || status=$?
# Two processes: MindSpore compiles on one core, and slower with each graph of a process.
# Last, so that its closing line is the last one printed.
"$python" -m pytest -n 2 --dist loadfile "$@" || status=$?
exit "$status"
