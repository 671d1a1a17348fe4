# Sourced by interpreter.sh and python_environment.sh: the end after a user error.
# shellcheck shell=bash

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}
