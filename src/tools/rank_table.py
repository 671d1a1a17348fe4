"""python -m src.tools.rank_table: checks Ascend's hccl.json; prints rank and device of each local process."""

from ..config.cli import parse
from ..config.rank_table import RankTableConfig, local_places
from ..errors import run_main


def main(argv=None):
    """One line a process: rank_id device_id."""
    config = parse(RankTableConfig, argv, prog="python -m src.tools.rank_table").config
    for place in local_places(config):
        print(place.rank_id, place.device_id)


if __name__ == "__main__":
    run_main(main)
