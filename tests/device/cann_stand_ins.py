"""Stub CANN libraries, with which MindSpore compiles graphs for Ascend on machines without one.

MindSpore's wheel contains its Ascend plugin. `write_libraries` builds one shared library that defines every
symbol of CANN that the plugin imports, under the names of all libraries it links to. With MS_SIMULATION_LEVEL
the plugin then runs the front end and its graph passes without a device. No kernel is ever refused (CANN's
operator packages are missing), and nothing is computed: only the front end is tested.
"""

import importlib.util
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

TOOLS = ("gcc", "g++", "nm", "readelf")
MAIN = "libge_runner.so"
# Of the plugin's start: operators are registered, and a table of errors is filled.
OBJECTS = r"""
#include <cstdint>
#include <map>
#include <string>

namespace ge {
struct StatusFactory {
  static void *Instance();
};

void *StatusFactory::Instance() {
  static std::map<uint32_t, std::string> descriptions;
  return &descriptions;
}
}  // namespace ge
"""
DEFINED = {"_ZN2ge13StatusFactory8InstanceEv"}
OF_PYTHON = ("Py", "_Py", "__gmon", "_ITM")


def write_libraries(folder: Path) -> dict[str, str]:
    """Build stubs of CANN; returns the environment variables that make MindSpore compile for Ascend."""
    # MindSpore derives CANN's folder from the path of its libraries.
    libraries, sources = folder / "cann" / "lib64", folder / "sources"
    for subfolder in (libraries, sources):
        subfolder.mkdir(parents=True)
    spec = importlib.util.find_spec("mindspore")
    assert spec and spec.origin, "MindSpore is not installed"
    packaged = Path(spec.origin).parent / "lib"
    plugins = [*packaged.glob("plugin/libmindspore*ascend*.so*"), *packaged.glob("plugin/ascend/**/*.so")]
    stubs, objects = sources / "stubs.c", sources / "objects.cc"
    stubs.write_text("".join(map(_stub, sorted(_missing_symbols(plugins, packaged) - DEFINED))))
    objects.write_text(OBJECTS)
    compiled = sources / "stubs.o"
    _run("gcc", "-c", "-fPIC", "-w", "-fno-builtin", "-o", compiled, stubs)
    _run("g++", "-shared", "-fPIC", "-o", libraries / MAIN, compiled, objects, f"-Wl,-soname,{MAIN}")
    for name in sorted(_missing_libraries(plugins, packaged) - {MAIN}):
        (libraries / name).symlink_to(MAIN)
    return {
        "LD_LIBRARY_PATH": str(libraries),
        "MS_SIMULATION_LEVEL": "0",
        "RANK_SIZE": "1",
        "RANK_ID": "0",
    }


def _missing_symbols(plugins: Iterable[Path], packaged: Path) -> set[str]:
    """Return the symbols that the plugins import and no library here defines."""
    imported = {name for file in plugins for name in _symbols(file, "--undefined-only") if "@" not in name}
    defined = {
        name.partition("@")[0]
        for file in (*packaged.rglob("*.so*"), *_loaded_libraries())
        for name in _symbols(file, "--defined-only")
    }
    return {name for name in imported - defined if not name.startswith(OF_PYTHON)}


def _loaded_libraries() -> set[Path]:
    """Return the shared libraries of this process: those of the system that MindSpore is linked to."""
    import mindspore.dataset  # noqa: F401  loads them

    return {Path(name) for name in re.findall(r"(/\S+\.so\S*)", Path("/proc/self/maps").read_text())}


def _missing_libraries(plugins: Iterable[Path], packaged: Path) -> set[str]:
    present = {file.name for file in packaged.rglob("*.so*")}
    needed: set[str] = set()
    for file in plugins:
        needed |= set(re.findall(r"NEEDED.*\[(lib[^]]*)\]", _run("readelf", "-d", file)))
    # Those of the system have a version in their name; CANN's have none.
    return {name for name in needed - present if name.endswith(".so")}


def _symbols(file: Path, which: str) -> list[str]:
    return [line.split()[-1] for line in _run("nm", "-D", which, file).splitlines() if line.strip()]


def _stub(name: str) -> str:
    """Return the C source of an object for a virtual table or type, else of a function that returns 0."""
    is_object = name.startswith(("_ZTV", "_ZTI", "_ZTS"))
    return f"void *{name}[64];\n" if is_object else f"long {name}(void) {{ return 0; }}\n"


def _run(*command: object) -> str:
    arguments = [str(word) for word in command]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
