# Sourced by quickstart.sh and run_tests.sh: the Python that serves MindSpore, the .venv and what is in it.
# shellcheck shell=bash

readonly PYTHONS_SERVED="3.10 3.11 3.12"   # wheels of MindSpore 2.10 exist for 3.9 too, its protobuf does not

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# Prints the interpreter to build .venv with: $PYTHON if set, else the first on PATH of a version served.
find_python() {
    local candidate version
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.10}; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if [[ " $PYTHONS_SERVED " == *" $version "* ]]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "MindSpore 2.10 needs a Python of $PYTHONS_SERVED and ${PYTHON:-PATH} is none;" \
        "choose one with PYTHON=/path/to/python3.11"
}

make_environment() {  # FOLDER
    local python
    [[ -x $1/bin/python ]] && return
    python=$(find_python) || exit
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python lacks the venv module; install it (Debian, Ubuntu: apt install python3-venv)"
    echo "making $1 with $python"
    "$python" -m venv "$1"
}

# Installs a requirements file, unless the same files were installed in this .venv before.
install_requirements() {  # FOLDER REQUIREMENTS_FILE
    local stamp wanted
    stamp=$1/.installed-$(basename "$2")
    wanted=$(cat "$(dirname "$2")"/requirements*.txt | sha256sum)
    [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
    echo "installing $(basename "$2")"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2"
    printf '%s\n' "$wanted" >"$stamp"
}
