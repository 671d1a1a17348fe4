"""python -m src.tools.cache: shows the teacher caches of a folder and deletes them."""

from src.config.cli import parse
from src.config.teacher_cache_config import CacheConfig
from src.errors import run_main


def main(argv=None):
    """List or delete as the command line says."""
    config = parse(CacheConfig, argv, prog="python -m src.tools.cache").config
    from src.stages.cache import manage_caches

    manage_caches(config)


if __name__ == "__main__":
    run_main(main)
