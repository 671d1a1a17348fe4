"""python -m src.tools.cache: shows the teacher caches of a folder and deletes them."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.distill_config import FOLDER
from ..config.fields import flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class CacheConfig:
    """Show the teacher caches of a folder, or delete them."""

    list: bool = flag(False, "show each cache: key, size, what it is of; what it does when told nothing")
    delete: str = flag("", "the key of a cache to delete, or all")
    teacher_cache_dir: str = flag(f"output/{FOLDER}", "the folder of the caches")


def main(argv=None):
    """List or delete as the command line says."""
    config = parse(CacheConfig, argv, prog=command_line("cache")).config
    from ..stages.diagnostics.teacher_caches import manage_caches

    manage_caches(config)


if __name__ == "__main__":
    run_main(main)
