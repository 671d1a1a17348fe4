"""The table of data sets, compared with the tasks."""

import re

from src.data.download.catalog import DATA_SETS, GROUPS, choose_data_sets
from src.tasks import TASKS
from tests import glue


def test_the_catalog():
    assert set(GROUPS["glue"]) == {*glue.COLUMNS, "diagnostic"}
    assert [row.name for row in choose_data_sets("all")] == list(DATA_SETS)
    for row in DATA_SETS.values():
        assert all(remote.url.startswith("https://") for remote in row.remotes)
        assert all(re.fullmatch(r"[0-9a-f]{64}", remote.sha256) and remote.size for remote in row.remotes)
        task = TASKS.get(row.name)
        assert task is None or set(task.files.values()) - {"diagnostic.tsv"} == set(row.files)
