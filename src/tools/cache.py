"""python -m src.tools.cache: shows the teacher caches of a folder and deletes them."""

from ..config.cli import parse
from ..config.teacher_cache_config import CacheConfig
from ..errors import run_main


def main(argv=None):
    """List or delete as the command line says."""
    config = parse(CacheConfig, argv, prog="python -m src.tools.cache").config
    from ..stages.diagnostics.teacher_caches import manage_caches

    manage_caches(config)


if __name__ == "__main__":
    run_main(main)
