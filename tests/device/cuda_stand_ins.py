"""Stub CUDA libraries, with which MindSpore compiles graphs for a GPU on machines without one.

MindSpore's wheel contains its GPU plugin. For each CUDA library that the plugin links to, `write_libraries`
builds a shared library that defines every symbol the plugin imports; memory calls use host memory. The plugin
loads, runs its graph passes and selects kernels: a graph with an operator or a type that has no GPU kernel,
or that a GPU pass breaks, fails as on a real device. Nothing is computed: numerical results, memory, speed
and NCCL are not tested.
"""

import collections
import importlib.util
import re
import subprocess
from pathlib import Path

VERSIONED = {
    "cublas": "libcublas.so.11",
    "cufft": "libcufft.so.10",
    "curand": "libcurand.so.10",
    "cusolver": "libcusolver.so.11",
    "cusparse": "libcusparse.so.11",
    "cudnn": "libcudnn.so.8",
}
RUNTIME, DRIVER = "libcudart.so.11.0", "libcuda.so.1"
TOOLS = ("gcc", "nm")
# Calls of the plugin before any kernel runs. cudaGetDeviceProperties writes to offsets of CUDA 11's
# cudaDeviceProp: a device of compute capability 8.0 with 4 GB.
RUNTIME_SOURCE = r"""
#include <stdlib.h>
#include <string.h>
int cudaGetDeviceCount(int *n) { *n = 1; return 0; }
int cudaSetDevice(int d) { return 0; }
int cudaMalloc(void **p, size_t n) { *p = aligned_alloc(512, (n + 511) / 512 * 512); return *p ? 0 : 2; }
int cudaFree(void *p) { free(p); return 0; }
int cudaHostAlloc(void **p, size_t n, unsigned f) { return cudaMalloc(p, n); }
int cudaFreeHost(void *p) { free(p); return 0; }
int cudaMemcpy(void *d, const void *s, size_t n, int k) { memcpy(d, s, n); return 0; }
int cudaMemcpyAsync(void *d, const void *s, size_t n, int k, void *t) { memcpy(d, s, n); return 0; }
int cudaMemset(void *d, int v, size_t n) { memset(d, v, n); return 0; }
int cudaMemsetAsync(void *d, int v, size_t n, void *t) { memset(d, v, n); return 0; }
int cudaMemGetInfo(size_t *f, size_t *t) { *f = *t = (size_t)4 << 30; return 0; }
static char object[64];
int cudaStreamCreate(void **s) { *s = object; return 0; }
int cudaStreamCreateWithFlags(void **s, unsigned f) { *s = object; return 0; }
int cudaStreamCreateWithPriority(void **s, unsigned f, int p) { *s = object; return 0; }
int cudaEventCreate(void **s) { *s = object; return 0; }
int cudaEventCreateWithFlags(void **s, unsigned f) { *s = object; return 0; }
int cudaEventElapsedTime(float *ms, void *a, void *b) { *ms = 0; return 0; }
int cudaGetDeviceProperties(char *p, int d) {
  memset(p, 0, 640);
  strcpy(p, "stand-in");
  *(size_t *)(p + 288) = (size_t)4 << 30;
  *(size_t *)(p + 296) = 49152;
  *(int *)(p + 304) = 65536;
  *(int *)(p + 308) = 32;
  *(size_t *)(p + 312) = 2147483647;
  *(int *)(p + 320) = 1024;
  int threads[3] = {1024, 1024, 64}, grid[3] = {2147483647, 65535, 65535};
  memcpy(p + 324, threads, sizeof threads);
  memcpy(p + 336, grid, sizeof grid);
  *(int *)(p + 348) = 1400000;
  *(size_t *)(p + 352) = 65536;
  *(int *)(p + 360) = 8;
  *(size_t *)(p + 368) = 512;
  *(size_t *)(p + 376) = 32;
  *(int *)(p + 388) = 108;
  return 0;
}
"""


def write_libraries(folder: Path) -> dict[str, str]:
    """Build a CUDA_HOME of stubs; returns the environment variables that make MindSpore load it."""
    # Sources go to another folder: MindSpore parses versions from all file names next to the libraries.
    libraries, tools, sources = folder / "lib64", folder / "bin", folder / "sources"
    for subfolder in (libraries, tools, sources):
        subfolder.mkdir(parents=True)
    for library, names in _undefined_symbols().items():
        _compile(libraries / library, sources / f"{library}.c", names)
    compiler = tools / "nvcc"
    compiler.write_text('#!/bin/sh\necho "Cuda compilation tools, release 11.6, V11.6.124"\n')
    compiler.chmod(0o755)
    for exact, library in (("libcudart.so.11.6.55", RUNTIME), ("libcudnn.so.8.5.0", "libcudnn.so.8")):
        (libraries / exact).symlink_to(library)
    return {"CUDA_HOME": str(folder), "LD_LIBRARY_PATH": str(libraries)}


def _undefined_symbols() -> dict[str, set[str]]:
    """Return {library: names of the symbols that the plugin imports}."""
    spec = importlib.util.find_spec("mindspore")
    assert spec and spec.origin, "MindSpore is not installed"
    plugins = Path(spec.origin).parent / "lib" / "plugin"
    symbols: dict[str, set[str]] = collections.defaultdict(set)
    symbols[DRIVER] |= {"cuInit", "cuDriverGetVersion", "cuDeviceGetCount"}
    for file in (plugins / "libmindspore_gpu.so.11.6", plugins / "gpu" / "libcuda_ops.so.11"):
        command = ["nm", "-D", "--undefined-only", str(file)]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for symbol in (line.split()[-1] for line in listing.splitlines()):
            name, _, version = symbol.partition("@")
            library = version if version.startswith("lib") else _library_of(name)
            if library:
                symbols[library].add(name)
    return symbols


def _library_of(name: str) -> str | None:
    for prefix, library in VERSIONED.items():
        if name.startswith(prefix):
            return library
    return DRIVER if re.match(r"cu[A-Z]", name) else None


def _compile(library: Path, source: Path, names: set[str]) -> None:
    text = RUNTIME_SOURCE if library.name == RUNTIME else ""
    text += "static char handle[4096];\n"
    for name in sorted(names - set(re.findall(r"^int (\w+)\(", text, re.MULTILINE))):
        text += _stub(name, library.name)
    source.write_text(text)
    command = ["gcc", "-shared", "-fPIC", "-w", "-o", str(library), str(source)]
    command.append(f"-Wl,-soname,{library.name}")
    if library.name != DRIVER:
        versions = source.with_suffix(".map")
        versions.write_text(f"{library.name} {{ global: *; }};\n")
        command.append(f"-Wl,--version-script={versions}")
    subprocess.run(command, check=True)


def _stub(name: str, library: str) -> str:
    """Return the C source of a function that always succeeds."""
    if library != DRIVER and name.endswith(("GetErrorString", "GetErrorName")):
        return f'const char *{name}(int e) {{ return "stand-in"; }}\n'
    if "Create" in name:
        return f"int {name}(void **h) {{ *h = handle; return 0; }}\n"
    return f"int {name}() {{ return 0; }}\n"
