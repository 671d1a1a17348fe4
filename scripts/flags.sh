# Sourced by the run_*.sh scripts: the variables at a script's top become flags of the same names.
# shellcheck shell=bash

# Fills the array `flags` with every NAME=VALUE that begins a line of FILE above its `set` line,
# except for those that the further arguments give themselves.
collect_flags() {  # FILE ARGUMENTS...
    local file=$1 name
    shift
    flags=()
    while read -r name; do
        [[ " $* " == *" --$name"[\ =]* ]] || flags+=("--$name" "${!name}")
    done < <(sed -n -e '/^set /q' -e 's/^\([a-z][a-z0-9_]*\)=.*/\1/p' "$file")
}

# Variables that this run does not need may stay "<unset>".
not_needed() {  # NAMES...
    local name
    for name in "$@"; do
        [[ ${!name} != "<unset>" ]] || printf -v "$name" ""
    done
}
