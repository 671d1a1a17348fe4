"""Text files in GLUE's forms and out of them."""

import dataclasses
import json

import pytest

from src.data.augmentation.rows import row_line
from src.data.text.examples import ExampleFile, find_file, read_examples
from src.errors import UserError
from src.tasks import TASKS

ROWS = {
    "SST-2": 'sentence\tlabel\na fine film \t1\n"half a quote\t0\n',
    "CoLA": "gj04\t1\t\tThey sailed.\ncj99\t0\t*\tMost want least.\n",
    "MRPC": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    '1\t7\t8\tHe said "no.\tHe said no.\n0\t1\t2\ta\tb\n',
    "STS-B": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    "0\tg\tf\t2012\t1\tn\tn\tA plane.\tAn air plane.\t5.000\n1\tg\tf\t2012\t1\tn\tn\tx\ty\t0.25\n",
    "QQP": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    "1\t2\t3\tWhy?\tHow?\t0\n4\t5\t6\tWho?\tWho is?\t1\n",
    "QNLI": "index\tquestion\tsentence\tlabel\n"
    "0\tWhen?\tIn 1900.\tentailment\n1\tWho?\tThere.\tnot_entailment\n",
    "RTE": "index\tsentence1\tsentence2\tlabel\n0\ta b\tc\tnot_entailment\n1\td\te\tentailment\n",
    "WNLI": "index\tsentence1\tsentence2\tlabel\n0\ta b\tc\t1\n1\td\te\t0\n",
    "MNLI": "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
    + "".join(
        f"{i}\t1\t1e\tg\t(\t(\t(\t(\tsky {i}\tblue {i}\t{label}\t{label}\n"
        for i, label in enumerate(["neutral", "-", "contradiction", "entailment"])
    ),
}


def written(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", ROWS)
def test_every_task_reads_the_glue_format(tmp_path, name):
    task = TASKS[name]
    found = read_examples(written(tmp_path, "train.tsv", ROWS[name]), task)
    assert len(found.examples) == (3 if name == "MNLI" else 2) and not found.bad_rows
    assert all((e.text_b is not None) == (len(task.text_columns) == 2) for e in found.examples)
    assert all(e.label in task.labels or not task.labels for e in found.examples)


def test_columns_of_every_task(tmp_path):
    first = {
        name: read_examples(written(tmp_path, f"{name}.tsv", ROWS[name]), TASKS[name]).examples[0]
        for name in ROWS
    }
    assert (first["CoLA"].text_a, first["CoLA"].label, first["CoLA"].line) == ("They sailed.", "1", 1)
    mrpc = first["MRPC"]
    assert (mrpc.text_a, mrpc.text_b, mrpc.label) == ('He said "no.', "He said no.", "1")
    assert (first["STS-B"].text_b, first["STS-B"].label, first["STS-B"].line) == ("An air plane.", "5.000", 2)
    assert first["SST-2"].text_a == "a fine film"


def test_mnli_rows_without_a_gold_label_are_counted(tmp_path):
    found = read_examples(written(tmp_path, "dev_matched.tsv", ROWS["MNLI"]), TASKS["MNLI"])
    assert found.unlabeled == 1 and [e.line for e in found.examples] == [2, 4, 5]


def test_test_files(tmp_path):
    cola = written(tmp_path, "test.tsv", "index\tsentence\n0\tBill ran.\n")
    found = read_examples(cola, TASKS["CoLA"], split="test")
    assert not found.labeled and found.examples[0].label is None and found.examples[0].text_a == "Bill ran."
    labeled = written(tmp_path, "own.tsv", "sentence\tlabel\ngood\t1\n")
    assert read_examples(labeled, TASKS["SST-2"], split="test").labeled


@pytest.mark.parametrize("cells, labeled", [(("", " "), False), (("", "1"), True)])
def test_an_empty_label_column_of_a_test_file(tmp_path, cells, labeled):
    rows = "".join(f"good {place},{cell}\n" for place, cell in enumerate(cells))
    path = written(tmp_path, "own.csv", "sentence,label\n" + rows)
    if labeled:
        with pytest.raises(UserError, match="line 2: the label in column label is empty"):
            read_examples(path, TASKS["SST-2"], split="test")
    else:
        found = read_examples(path, TASKS["SST-2"], split="test")
        assert not found.labeled and [example.label for example in found.examples] == [None, None]


def test_labels_of_minus_one_are_none_in_a_test_file(tmp_path):
    """As in GLUE's copy on the Hugging Face hub."""
    path = written(tmp_path, "test.jsonl", '{"sentence": "a", "label": -1}\n{"sentence": "b", "label": -1}\n')
    assert not read_examples(path, TASKS["SST-2"], split="test").labeled
    own = dataclasses.replace(TASKS["SST-2"], labels=("-1", "1"))
    assert read_examples(path, own, split="test").labeled


def test_json_lines_without_labels(tmp_path):
    text = '{"sentence": "a", "label": null}\n\n{"label": null, "sentence": "b"}\n'
    found = read_examples(written(tmp_path, "test.jsonl", text), TASKS["SST-2"], split="test")
    assert not found.labeled and [(e.text_a, e.line) for e in found.examples] == [("a", 1), ("b", 3)]


def test_only_a_newline_ends_a_row(tmp_path):
    text = "\ufeffsentence\tlabel\r\none\u2028line\x0b still\t1\r\nlast\t0"
    found = read_examples(written(tmp_path, "train.tsv", text), TASKS["SST-2"])
    assert [e.text_a for e in found.examples] == ["one\u2028line\x0b still", "last"]


def test_csv_and_jsonl(tmp_path):
    written(tmp_path, "train.csv", 'label,sentence\n1,"a, ""b""\nc"\n0,d\n')
    rows = [{"sentence": "x\ty", "label": 1}, {"extra": 3, "label": "0", "sentence": "z"}]
    written(tmp_path, "dev.jsonl", "\n".join(map(json.dumps, rows)))
    csv_rows = read_examples(find_file(tmp_path, "train.tsv"), TASKS["SST-2"]).examples
    assert [(e.text_a, e.label, e.line) for e in csv_rows] == [('a, "b"\nc', "1", 2), ("d", "0", 4)]
    json_rows = read_examples(find_file(tmp_path, "dev.tsv"), TASKS["SST-2"]).examples
    assert [(e.text_a, e.label, e.line) for e in json_rows] == [("x\ty", "1", 1), ("z", "0", 2)]
    assert find_file(tmp_path, "test.tsv") is None


BAD_ROWS = {
    "columns": ("one\ttwo\t1", "3 columns instead of 2"),
    "blank": ("", "1 columns instead of 2"),
    "label": ("fine\t2", 'label "2" is unknown to SST-2, whose labels are 0, 1'),
    "empty": (" \t1", "the text in column sentence is empty"),
    "encoding": (b"caf\xe9\t1", r"not UTF-8 \(byte 4\)"),
}


@pytest.mark.parametrize("row, complaint", BAD_ROWS.values(), ids=BAD_ROWS)
def test_malformed_rows_are_reported_or_skipped(tmp_path, row, complaint):
    row = row if isinstance(row, bytes) else row.encode()
    path = written(tmp_path, "train.tsv", b"sentence\tlabel\ngood\t1\n" + row + b"\nbad\t0\n")
    with pytest.raises(UserError, match=f"train.tsv, line 3: {complaint}"):
        read_examples(path, TASKS["SST-2"])
    found = read_examples(path, TASKS["SST-2"], on_bad_row="skip")
    assert [e.text_a for e in found.examples] == ["good", "bad"]
    assert [bad["line"] for bad in found.bad_rows] == [3]


@pytest.mark.parametrize("score", ["high", "nan", "inf", "", "1e39"])
def test_a_score_is_a_number(tmp_path, score):
    path = written(tmp_path, "train.tsv", ROWS["STS-B"].replace("0.25", score))
    with pytest.raises(UserError, match="line 3: .* is (not a number|out of the float32 range)"):
        read_examples(path, TASKS["STS-B"])


@pytest.mark.parametrize(
    "line, complaint",
    [
        ('{"sentence": 1', "line 2: not valid JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"sentence": null, "label": 1}', "line 2: the text in column sentence is empty"),
        ('{"sentence": "b", "label": null}', "line 2: the label in column label is empty"),
        ('{"sentence": "b"}', "line 2: lacks label"),
    ],
)
def test_bad_json(tmp_path, line, complaint):
    path = written(tmp_path, "train.jsonl", '{"sentence": "a", "label": 0}\n' + line)
    with pytest.raises(UserError, match=complaint):
        read_examples(path, TASKS["SST-2"])


NESTED = {
    "text in a list": (
        '{"sentence": ["a", "b"], "label": 1}',
        "sentence is a list or an object instead of a string",
    ),
    "text in an object": (
        '{"sentence": {}, "label": 1}',
        "sentence is a list or an object instead of a string",
    ),
    "label in a list": (
        '{"sentence": "a", "label": [1]}',
        "label is a list or an object instead of a string",
    ),
    "half a pair": ('{"sentence": "a \\ud83d", "label": 1}', "sentence contains a lone surrogate"),
    "half a pair as label": ('{"sentence": "a", "label": "\\udc00"}', "label contains a lone surrogate"),
    "nested too deep": (
        '{"sentence": "a", "label": 1, "more": ' + "[" * 100_000 + "]" * 100_000 + "}",
        r"not valid JSON \(nested more than 64 deep\)",
    ),
    "a number of 5,000 digits": (
        '{"sentence": "a", "label": 1, "id": ' + "9" * 5000 + "}",
        r"not valid JSON \(an integer of 5,000 digits\)",
    ),
}


@pytest.mark.parametrize("line, complaint", NESTED.values(), ids=NESTED)
def test_json_values_other_than_strings(tmp_path, line, complaint):
    path = written(tmp_path, "train.jsonl", '{"sentence": "a", "label": 0}\n' + line)
    with pytest.raises(UserError, match=f"train.jsonl, line 2: {complaint}"):
        read_examples(path, TASKS["SST-2"])


def test_rows_that_cannot_be_parsed_are_skipped(tmp_path):
    good = '{"sentence": "a", "label": 0}\n'
    path = written(tmp_path, "train.jsonl", good + "\n".join(line for line, _ in NESTED.values()))
    found = read_examples(path, TASKS["SST-2"], on_bad_row="skip")
    assert len(found.examples) == 1 and [row["line"] for row in found.bad_rows] == [
        *range(2, 2 + len(NESTED))
    ]


def test_a_lone_surrogate_in_an_unused_column(tmp_path):
    path = written(tmp_path, "train.jsonl", '{"sentence": "a", "label": 0, "author": "\\ud83d"}\n')
    assert [e.text_a for e in read_examples(path, TASKS["SST-2"]).examples] == ["a"]
    # Augmentation writes all columns again.
    source = ExampleFile(path, TASKS["SST-2"])
    ((values, _),) = source.rows()
    line = row_line(values, source.header, ".jsonl")
    assert json.loads(line.encode())["author"] == "\ud83d"


@pytest.mark.parametrize("field", ["word " * 30_000, "word \n" * 30_000], ids=["one line", "many lines"])
def test_csv_fields_of_any_length(tmp_path, field):
    path = written(tmp_path, "train.csv", f'sentence,label\na,0\n"{field}",1\n')
    found = read_examples(path, TASKS["SST-2"])
    assert [(e.text_a, e.label) for e in found.examples] == [("a", "0"), (field.strip(), "1")]


def test_json_booleans_keep_their_spelling(tmp_path):
    rows = '{"sentence": "a", "label": true}\n{"sentence": 1.5, "label": 7}\n'
    path = written(tmp_path, "train.jsonl", rows)
    task = dataclasses.replace(TASKS["SST-2"], labels=())
    assert [(e.text_a, e.label) for e in read_examples(path, task).examples] == [("a", "true"), ("1.5", "7")]


@pytest.mark.parametrize("first", ['{"sentence": "a"', '{"sentence": "a"}', '{"label": 0}'])
def test_a_malformed_first_json_line(tmp_path, first):
    path = written(tmp_path, "train.jsonl", first + '\n{"label": 0, "sentence": "good", "more": 1}\n')
    with pytest.raises(UserError, match="train.jsonl, line 1: "):
        read_examples(path, TASKS["SST-2"])
    found = read_examples(path, TASKS["SST-2"], on_bad_row="skip")
    assert [e.text_a for e in found.examples] == ["good"] and found.bad_rows[0]["line"] == 1


def test_an_unclosed_quotation_mark_swallows_no_rows(tmp_path):
    rows = 'label,sentence\n1,a\n0,"b\n' + "1,c\n0,d\n" * 20
    for text in (rows, rows + '1,"e"\n'):  # never closed, or by the next one
        path = written(tmp_path, "train.csv", text)
        for on_bad_row in ("error", "skip"):
            with pytest.raises(
                UserError, match="train.csv, line 3: the quotation mark opened here is not properly closed"
            ):
                read_examples(path, TASKS["SST-2"], on_bad_row)


@pytest.mark.parametrize(
    "row, complaint",
    [
        (b"1,caf\xe9", r"not UTF-8 \(byte 6\)"),
        (b'1,"\n\xff"', r"not UTF-8 \(byte 1\)"),
        (b'1,"a" b', "not valid CSV"),
        (b'1,a,"b\nc"', "3 columns instead of 2"),
    ],
)
def test_malformed_csv_rows_are_reported_or_skipped(tmp_path, row, complaint):
    path = written(tmp_path, "train.csv", b"label,sentence\n1,good\n" + row + b"\n0,bad\n")
    with pytest.raises(UserError, match=f"train.csv, line 3: {complaint}"):
        read_examples(path, TASKS["SST-2"])
    found = read_examples(path, TASKS["SST-2"], on_bad_row="skip")
    assert [(e.text_a, e.line) for e in found.examples] == [("good", 2), ("bad", 4 + row.count(b"\n"))]
    assert [bad["line"] for bad in found.bad_rows] == [3]


@pytest.mark.parametrize(
    "name, text",
    [("train.csv", "label,sentence,label\n1,a,0\n"), ("train.tsv", "sentence\tlabel\tsentence\na\t1\tb\n")],
)
def test_a_duplicate_column(tmp_path, name, text):
    with pytest.raises(UserError, match="the header has the column (label|sentence) 2 times"):
        read_examples(written(tmp_path, name, text), TASKS["SST-2"])


def test_a_wrong_header_lists_expected_and_found_columns(tmp_path):
    path = written(tmp_path, "train.tsv", "text\tlabel\ngood\t1\n")
    expected = "lacks sentence; expected the columns sentence, label, found text, label"
    with pytest.raises(UserError, match=expected):
        read_examples(path, TASKS["SST-2"])


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("", "no readable header"),
        ("sentence\tlabel\n", "holds no usable row"),
        ("sentence\tlabel\n".encode("utf-16"), r"train.tsv, line 1: not UTF-8 \(byte 1\)"),
    ],
)
def test_empty_files(tmp_path, content, complaint):
    with pytest.raises(UserError, match=complaint):
        read_examples(written(tmp_path, "train.tsv", content), TASKS["SST-2"])


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="absent.tsv does not exist"):
        read_examples(tmp_path / "absent.tsv", TASKS["SST-2"])


def test_max_rows(tmp_path):
    path = written(tmp_path, "train.tsv", "sentence\tlabel\n" + "good\t1\n" * 9)
    assert len(read_examples(path, TASKS["SST-2"], max_rows=4).examples) == 4
