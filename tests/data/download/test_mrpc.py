"""MRPC as download makes it of Microsoft's two files and GLUE's list, from the server of test_download."""

import dataclasses

import pytest

from src.data.download.catalog import DATA_SETS, Remote
from src.data.text.examples import read_examples
from src.tasks import TASKS
from tests.stages.preparation.test_download import below, fetch, refused, served  # noqa: F401  (a fixture: site)

HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
MICROSOFT = {
    "msr_paraphrase_train.txt": "\ufeff"
    + HEADER
    + "".join(f'{n % 2}\t{n}\t{100 + n}\tHe said "no {n}.\tNo, he said {n}.\r\n' for n in range(25)),
    "msr_paraphrase_test.txt": "\ufeff" + HEADER + '1\t7\t8\ta "b\tc\r\n0\t9\t10\td\te\r\n',
    "mrpc_dev_ids.tsv": "3\t103\n20\t120\n",
}


def offer_microsoft(site, monkeypatch, **changes):
    files = {**{name: text.encode() for name, text in MICROSOFT.items()}, **changes}
    site.files.update({name: content for name, content in files.items() if content is not None})
    remotes = tuple(Remote(remote.url) for remote in DATA_SETS["MRPC"].remotes)
    monkeypatch.setitem(DATA_SETS, "MRPC", dataclasses.replace(DATA_SETS["MRPC"], remotes=remotes))


def test_mrpc_is_generated_from_microsofts_files(site, monkeypatch, tmp_path, capsys):
    offer_microsoft(site, monkeypatch)
    fetch(site, "MRPC")
    folder = tmp_path / "data" / "MRPC"
    texts = {name: (folder / f"{name}.tsv").read_text().splitlines() for name in ("train", "dev", "test")}
    assert texts["dev"] == [
        HEADER.strip(),
        '1\t3\t103\tHe said "no 3.\tNo, he said 3.',
        '0\t20\t120\tHe said "no 20.\tNo, he said 20.',
    ]
    header = "index\t#1 ID\t#2 ID\t#1 String\t#2 String"
    assert texts["test"] == [header, '0\t7\t8\ta "b\tc', "1\t9\t10\td\te"]
    assert len(texts["train"]) == 24 and below(tmp_path) == [f"data/MRPC/{n}.tsv" for n in sorted(texts)]
    found = read_examples(folder / "dev.tsv", TASKS["MRPC"]).examples
    assert [(row.text_a, row.label) for row in found] == [('He said "no 3.', "1"), ('He said "no 20.', "0")]
    assert not read_examples(folder / "test.tsv", TASKS["MRPC"], split="test").labeled


def test_mrpc_without_glues_list(site, monkeypatch, tmp_path, capsys):
    offer_microsoft(site, monkeypatch, **{"mrpc_dev_ids.tsv": None})
    fetch(site, "MRPC")
    assert "these are NOT GLUE's dev rows" in capsys.readouterr().out
    assert len((tmp_path / "data" / "MRPC" / "dev.tsv").read_text().splitlines()) == 3


def test_train_and_dev_of_mrpc_belong_to_one_split(site, monkeypatch, tmp_path, capsys):
    offer_microsoft(site, monkeypatch)
    fetch(site, "MRPC")
    folder = tmp_path / "data" / "MRPC"
    dev = (folder / "dev.tsv").read_text()
    (folder / "dev.tsv").unlink()
    del site.files["mrpc_dev_ids.tsv"]
    assert "data/MRPC/train.tsv does not belong to the dev.tsv" in refused(site, capsys, "MRPC")
    assert not (folder / "dev.tsv").exists()
    offer_microsoft(site, monkeypatch)
    fetch(site, "MRPC")
    assert (folder / "dev.tsv").read_text() == dev


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"msr_paraphrase_train.txt": b"a\tb\n"}, "is not Microsoft's file"),
        ({"msr_paraphrase_test.txt": HEADER.encode() + b"1\t2\t3\n"}, "line 2: 3 columns instead of 5"),
        ({"msr_paraphrase_test.txt": b"\xff\xfe"}, "is not UTF-8"),
        ({"mrpc_dev_ids.tsv": b"7\t7\n"}, "names no row"),
    ],
)
def test_invalid_microsoft_files(site, monkeypatch, capsys, tmp_path, changes, complaint):
    offer_microsoft(site, monkeypatch, **changes)
    assert complaint in refused(site, capsys, "MRPC") and not (tmp_path / "data" / "MRPC").exists()
