"""python -m src.tools.cache: list or delete cached teacher outputs."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.distill_config import FOLDER
from ..config.fields import flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class CacheConfig:
    """List or delete cached teacher outputs."""

    list: bool = flag(False, "list key, size and contents of each cache (the default action)")
    delete: str = flag("", "key of a cache to delete, or all")
    teacher_cache_dir: str = flag(f"output/{FOLDER}", "folder of the caches")


def main(argv: Sequence[str] | None = None) -> None:
    """List or delete caches."""
    config = parse(CacheConfig, argv, prog=command_line("cache")).config
    from ..stages.diagnostics.teacher_caches import manage_caches

    manage_caches(config)


if __name__ == "__main__":
    run_main(main)
