#!/usr/bin/env bash
# Fault injection:
#   bash scripts/run_trust.sh [PARTS] [--seed N] [--budget SHARE] [--only NAME] [--checkout FOLDER]
# About 20 minutes on 2 cores; exit code 1 where something failed. See docs/reliability.md.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/python_environment.sh
source "$root/scripts/python_environment.sh"

make_environment
install_requirements requirements-test.txt
cd "$root"
exec "$python" -m tests.trust "$@"
