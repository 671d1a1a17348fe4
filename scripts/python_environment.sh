# Sourced by quickstart.sh, run_tests.sh and run_trust.sh, which set root: die, and the project's .venv.
# shellcheck shell=bash

# shellcheck source=scripts/die.sh
source "${root:?}/scripts/die.sh"

readonly SUPPORTED_PYTHONS="3.10 3.11 3.12"   # MindSpore 2.10 has wheels for 3.9, its protobuf does not
python="${root:?}/.venv/bin/python"

# Prints the interpreter for .venv: $PYTHON if set, else the first supported version on PATH.
find_python() {
    local candidate version
    local -a candidates=(python3 python3.11 python3.12 python3.10)
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if [[ " $SUPPORTED_PYTHONS " == *" $version "* ]]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "MindSpore 2.10 needs one of Python ${SUPPORTED_PYTHONS// /, } and ${PYTHON:-PATH} offers none;" \
        "choose with PYTHON=/path/to/python3.11"
}

make_environment() {
    local base
    [[ -x $python ]] && return
    base=$(find_python) || exit
    "$base" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$base lacks the venv module; install it (Debian, Ubuntu: apt install python3-venv)"
    echo "creating $root/.venv with $base"
    "$base" -m venv "$root/.venv"
}

pip_install() {  # PIP ARGUMENTS...
    "$python" -m pip install --quiet --disable-pip-version-check "$@"
}

# Installs a requirements file unless this .venv already has the same ones.
install_requirements() {  # FILE
    local stamp="$root/.venv/.installed-$1" wanted
    wanted=$(cat "$root"/requirements*.txt | sha256sum)
    [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
    echo "installing $1"
    pip_install -r "$root/$1"
    printf '%s\n' "$wanted" >"$stamp"
}
