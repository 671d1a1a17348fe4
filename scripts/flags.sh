# Sourced by the run_*.sh scripts: the variables at a script's top become flags of the same names.
# shellcheck shell=bash

# Whether the arguments give a flag, by name and value or as NAME=VALUE; the value, of several the last, is
# left in `value`.
# shellcheck disable=SC2034  # value is the caller's
given() {  # NAME ARGUMENTS...
    local flag=--$1 found=1
    shift
    while (($#)); do
        case $1 in
            "$flag") value=${2:-} found=0 ;;
            "$flag="*) value=${1#*=} found=0 ;;
        esac
        shift
    done
    return "$found"
}

# Fills the array `flags` with every NAME=VALUE that begins a line of FILE above its `set` line,
# except for those that the further arguments give themselves.
collect_flags() {  # FILE ARGUMENTS...
    local file=$1 name
    shift
    flags=()
    while read -r name; do
        given "$name" "$@" || flags+=("--$name" "${!name}")
    done < <(sed -n -e '/^set /q' -e 's/^\([a-z][a-z0-9_]*\)=.*/\1/p' "$file")
}

# Variables that this run does not need may stay "<unset>".
not_needed() {  # NAMES...
    local name
    for name in "$@"; do
        [[ ${!name} != "<unset>" ]] || printf -v "$name" ""
    done
}

# Gives the first arguments of a script the names it asks for; the others are left in the array `rest`.
take_arguments() {  # "NAME NAME ..." ARGUMENTS...
    local name wanted=$1
    local -a switches=()
    shift
    while [[ ${1:-} == --background || ${1:-} == --dry_run ]]; do
        switches+=("$1")
        shift
    done
    for name in $wanted; do
        if (($# == 0)) || [[ $1 == --* ]]; then
            printf 'error: %s is missing; usage: bash %s %s [--dry_run] [--background] [FLAGS]\n' \
                "${name^^}" "$0" "${wanted^^}" >&2
            exit 2
        fi
        printf -v "$name" '%s' "$1"
        shift
    done
    rest=("${switches[@]}" "$@")
}

# Hands over to launch.sh, in which an unset variable is an error that names this script's line.
launch() {  # ARGUMENTS...
    LAUNCHED_FROM=$0 exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" "$@"
}
