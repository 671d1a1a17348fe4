"""Generates MRPC's files from Microsoft's, as in GLUE, which may not distribute the rows itself."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from ...files import write_text
from ...output_dir import add_to_marker

HEADER = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
DEV_STEP = 10  # without GLUE's list every tenth row becomes a dev row


def write_mrpc(train: Path, test: Path, dev_ids: Path | None, folder: Path, names: Sequence[str]) -> None:
    """Write the files `names` of train.tsv, dev.tsv and test.tsv in `folder`.

    Parameters: paths of msr_paraphrase_train.txt, msr_paraphrase_test.txt and GLUE's list of the id pairs of
    dev rows; without the list (None) every tenth row is one, which is logged. No unquoting: a lone " is an
    ordinary character. Raises UserError for a file in another format.
    """
    rows = _rows(train)
    dev = _dev_rows(rows, dev_ids)
    splits: dict[str, tuple[tuple[str, ...], list[Sequence[str]]]] = {
        "train.tsv": (HEADER, [row for index, row in enumerate(rows) if index not in dev]),
        "dev.tsv": (HEADER, [row for index, row in enumerate(rows) if index in dev]),
        "test.tsv": (
            ("index", *HEADER[1:]),
            [(str(index), *row[1:]) for index, row in enumerate(_rows(test))],
        ),
    }
    texts = {
        name: "".join("\t".join(line) + "\n" for line in (header, *lines))
        for name, (header, lines) in splits.items()
    }
    _check_existing(texts, folder, names)
    add_to_marker(folder, names)
    for name in names:
        write_text(folder / name, texts[name])


def _check_existing(texts: dict[str, str], folder: Path, names: Sequence[str]) -> None:
    """Raise UserError if only one of train.tsv and dev.tsv is written and the other is of another split."""
    for new, kept in (("train.tsv", "dev.tsv"), ("dev.tsv", "train.tsv")):
        if new in names and kept not in names and (folder / kept).read_bytes() != texts[kept].encode():
            raise UserError(
                f"{folder / kept} does not belong to the {new} of this run, so rows could be in both; "
                "--overwrite writes both again"
            )


def _dev_rows(rows: list[list[str]], dev_ids: Path | None) -> set[int]:
    """Indices of the dev rows."""
    if dev_ids is None:
        print(
            f"MRPC: GLUE's list of dev rows is not available, so every {DEV_STEP}th row becomes one: these "
            "are NOT GLUE's dev rows"
        )
        return set(range(DEV_STEP - 1, len(rows), DEV_STEP))
    pairs = {tuple(line.split("\t")) for line in _lines(dev_ids)}
    dev = {index for index, row in enumerate(rows) if (row[1], row[2]) in pairs}
    if not dev:
        raise UserError(f"{dev_ids} names no row of Microsoft's file")
    return dev


def _rows(path: Path) -> list[list[str]]:
    header, *rows = [line.split("\t") for line in _lines(path)] or [[]]
    if tuple(header) != HEADER:
        raise UserError(f"{path} is not Microsoft's file: its first line is not {', '.join(HEADER)}")
    for number, row in enumerate(rows, 2):
        if len(row) != len(HEADER):
            raise UserError(f"{path}, line {number}: {len(row)} columns instead of {len(HEADER)}")
    return rows


def _lines(path: Path) -> list[str]:
    # The files have a byte order mark and Windows line endings.
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start + 1})") from None
    return [line.strip() for line in text.split("\n") if line.strip()]
