# Sourced by the run_*.sh scripts: every NAME=VALUE line above their `source` line becomes a flag, but none
# with an empty VALUE.
# shellcheck shell=bash
set -euo pipefail

positional=()       # flags of the script's positional arguments
arguments=("$@")    # flags and switches on the command line
defaults_apply=true

# Returns true if the command line has --NAME VALUE or --NAME=VALUE; sets `value` to the last one.
given() {  # NAME
    local i found=1
    for ((i = 0; i < ${#arguments[@]}; i++)); do
        case ${arguments[i]} in
            "--$1") value=${arguments[i + 1]:-} found=0 ;;
            "--$1="*) value=${arguments[i]#*=} found=0 ;;
        esac
    done
    return "$found"
}

is_false() {  # NAME
    local value=${!1}
    given "$1" || true
    [[ ${value,,} =~ ^(false|no|off|0)$ ]]
}

# Defaults that this run does not need may remain "<unset>".
not_needed() {  # NAMES...
    local name
    for name in "$@"; do
        [[ ${!name} != "<unset>" ]] || printf -v "$name" ""
    done
}

# Names the leading arguments: upper case sets a variable, lower case the flag of that name.
take_arguments() {  # NAMES...
    local name wanted="$*"
    local -a switches=()
    set -- "${arguments[@]}"
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
        if [[ $name == "${name^^}" ]]; then printf -v "$name" '%s' "$1"; else positional+=("--$name" "$1"); fi
        shift
    done
    arguments=("${switches[@]}" "$@")
}

# Returns true if the first argument after the switches is not a flag.
positional_given() {
    local word
    for word in "${arguments[@]}"; do
        case $word in
            --background | --dry_run) ;;
            *) [[ $word != --* ]]; return ;;
        esac
    done
    return 1
}

# Takes CONFIG_PATH, a file of the model zoo's, whose values replace the defaults of the script.
take_config() {
    if positional_given; then
        take_arguments config_path
    elif ! given config_path; then
        return 0
    fi
    defaults_apply=false
}

# Runs launch.sh with the positional flags, the defaults and the command line.
launch() {  # WAY SCRIPT FLAGS...
    local name
    local -a defaults=()
    while $defaults_apply && read -r name; do
        # An empty one would override the value of a task file or a config module.
        [[ -z ${!name} ]] || given "$name" || defaults+=("--$name" "${!name}")
    done < <(sed -n -e '/^source /q' -e 's/^\([a-z][a-z0-9_]*\)=.*/\1/p' "$0")
    # LAUNCHED_FROM: the error for an unset default names the line to edit.
    LAUNCHED_FROM=$0 exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" \
        "$@" "${positional[@]}" "${defaults[@]}" "${arguments[@]}"
}
