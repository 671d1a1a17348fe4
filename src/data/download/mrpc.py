"""MRPC's three files made of Microsoft's two, as GLUE makes them: GLUE may not hand out the rows itself."""

from ...errors import UserError
from ...files import write_text
from ...output_dir import add_to_marker

HEADER = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
SHARE = 10  # without GLUE's list one row in so many becomes a dev row


def write_mrpc(train, test, dev_ids, folder, wanted):
    """Write those of train.tsv, dev.tsv and test.tsv in `folder` that `wanted` names.

    Parameters: paths of msr_paraphrase_train.txt, msr_paraphrase_test.txt and of GLUE's list of the pairs of
    ids that are dev rows; without the list (None) every tenth row is one, which is said aloud. Nothing is
    unquoted: a lone " is a character of a sentence. Raises UserError for a file of another form.
    """
    rows = _rows(train)
    dev = _dev_rows(rows, dev_ids)
    splits = {
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
    _check_kept(texts, folder, wanted)
    add_to_marker(folder, wanted)
    for name in wanted:
        write_text(folder / name, texts[name])


def _check_kept(texts, folder, wanted):
    """Refuse to make one of train.tsv and dev.tsv for another draw than that of the one that is there."""
    for made, kept in (("train.tsv", "dev.tsv"), ("dev.tsv", "train.tsv")):
        if made in wanted and kept not in wanted and (folder / kept).read_bytes() != texts[kept].encode():
            raise UserError(
                f"{folder / kept} is not the one that belongs to the {made} of this run, so rows "
                "could be in both; --overwrite makes both anew"
            )


def _dev_rows(rows, dev_ids):
    """The numbers of the rows that are dev rows."""
    if dev_ids is None:
        print(
            f"MRPC: GLUE's list of dev rows is not there, so every {SHARE}th row becomes one: these are "
            "NOT GLUE's dev rows"
        )
        return set(range(SHARE - 1, len(rows), SHARE))
    pairs = {tuple(line.split("\t")) for line in _lines(dev_ids)}
    dev = {index for index, row in enumerate(rows) if (row[1], row[2]) in pairs}
    if not dev:
        raise UserError(f"{dev_ids} names no row of Microsoft's file")
    return dev


def _rows(path):
    header, *rows = [line.split("\t") for line in _lines(path)] or [[]]
    if tuple(header) != HEADER:
        raise UserError(f"{path} is not Microsoft's file: its first line is not {', '.join(HEADER)}")
    for number, row in enumerate(rows, 2):
        if len(row) != len(HEADER):
            raise UserError(f"{path}, line {number}: {len(row)} columns where {len(HEADER)} belong")
    return rows


def _lines(path):
    # The files begin with a byte order mark and end their lines in Windows' way.
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start + 1})") from None
    return [line.strip() for line in text.split("\n") if line.strip()]
