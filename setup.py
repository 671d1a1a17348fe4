"""Packages and requirements, which pyproject.toml cannot express: src/ is installed as bert_compression."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_packages, setup


def requirements(file: str) -> Iterator[str]:
    """The requirements of a file and of the files that it includes with `-r`."""
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        requirement = line.partition("#")[0].strip()
        if requirement.startswith("-r "):
            yield from requirements(requirement.removeprefix("-r ").strip())
        elif requirement:
            yield requirement


shutil.rmtree("build/lib", ignore_errors=True)  # setuptools packs whatever an earlier build left there
setup(
    packages=["bert_compression", *(f"bert_compression.{name}" for name in find_packages("src"))],
    install_requires=list(requirements("requirements-serve.txt")),
    extras_require={
        "train": list(requirements("requirements.txt")),
        "dev": list(requirements("requirements-dev.txt")),
    },
)
