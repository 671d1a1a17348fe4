"""Task files and flags of a custom task: values, and a one-sentence error for each mistake."""

import json
import time

import pytest

from src.config.task.custom import MANIFEST_FIELDS, CustomTask, custom_task
from src.config.task.from_records import spec_of, task_for
from src.errors import UserError
from src.tasks import TASKS

YAML = """# a task of three labels
train_file: reviews.csv
text_columns: [title, body]
label_column: topic   # the label
labels: [yes, no, 1.0]
best_metric: f1_macro
dev_share: 0.25
"""
GIVEN = "train_file: a.csv\ntext_columns: b\n"
FLAGS = {"train_file": "reviews.csv", "text_columns": ("body",)}


def written(folder, text, name="my_task.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_yaml_file(tmp_path):
    own = custom_task(written(tmp_path, YAML), {})
    assert own == CustomTask(
        task_name="my_task",
        train_file=str(tmp_path / "reviews.csv"),
        text_columns=("title", "body"),
        label_column="topic",
        labels=("yes", "no", "1.0"),
        best_metric="f1_macro",
        dev_share=0.25,
    )
    task = own.spec()
    assert (task.name, task.text_columns, task.labels) == ("my_task", ("title", "body"), ("yes", "no", "1.0"))
    assert (task.metrics, task.best_metric) == (("accuracy", "f1_macro"), "f1_macro")
    assert task.max_seq_length == 128 and task.recipe == TASKS["SST-2"].recipe


def test_an_equivalent_json_file(tmp_path):
    values = {
        "train_file": "reviews.csv",
        "text_columns": ["title", "body"],
        "label_column": "topic",
        "labels": ["yes", "no", "1.0"],
        "best_metric": "f1_macro",
        "dev_share": 0.25,
        "dev_file": None,
    }
    as_json = custom_task(written(tmp_path, json.dumps(values, indent="\t"), "my_task.json"), {})
    assert as_json == custom_task(written(tmp_path, YAML), {})


@pytest.mark.parametrize("name", ["my_task.yaml", "my_task.json"])
def test_values_are_kept_as_text(tmp_path, name):
    """Numbers as written, the surrogate pairs with which JSON escapes characters beyond 16 bits."""
    text = '{"train_file": "a.csv", "text_columns": "b",\n'
    text += '"labels": [1e5, 0x10, "caf\\u00e9", "\\ud83d\\ude00", "null"]}'
    own = custom_task(written(tmp_path, text, name), {})
    assert own.labels == ("1e5", "0x10", "café", "\U0001f600", "null")


def test_flags_override_the_file_except_for_the_rows_to_split(tmp_path):
    given = {"label_column": "stars", "task_name": "other", "train_file": "augmented.csv"}
    own = custom_task(written(tmp_path, YAML), given)
    assert (own.label_column, own.task_name) == ("stars", "other")
    assert own.train_file == str(tmp_path / "reviews.csv")
    assert custom_task("", FLAGS).task_name == "reviews"


@pytest.mark.parametrize(
    "mode, labels, metrics",
    [
        ("classification", ("a", "b"), ("accuracy",)),
        ("classification", ("a", "b", "c"), ("accuracy", "f1_macro")),
        ("multi_label", ("a", "b"), ("f1_micro", "f1_macro", "subset_accuracy")),
        ("regression", (), ("pearson", "spearmanr", "corr")),
    ],
)
def test_metrics_of_the_modes(mode, labels, metrics):
    task = custom_task("", {**FLAGS, "output_mode": mode}).with_labels(labels).spec()
    assert (task.metrics, task.best_metric, task.output_mode) == (metrics, metrics[0], mode)
    given = {**FLAGS, "output_mode": mode, "best_metric": metrics[-1]}
    chosen = custom_task("", given).with_labels(labels).spec()
    assert (chosen.metrics, chosen.best_metric) == (metrics, metrics[-1])


def test_an_additional_metric():
    own = custom_task("", {**FLAGS, "best_metric": "f1"})
    assert own.with_labels(("a", "b")).spec().metrics == ("accuracy", "f1")
    with pytest.raises(UserError, match="best_metric f1 requires two labels, but reviews has 3"):
        own.with_labels(("a", "b", "c"))


BAD_FILES = {
    "unknown key": (
        "train_file: a.csv\ntext_column: b",
        'line 2: unknown key "text_column"; did you mean "text_columns"?',
    ),
    "repeated key": (
        "labels: [a, b]\n\nlabels: [c, d]",
        "line 3: duplicate key labels, first given in line 1",
    ),
    "bad YAML": ("train_file: a.csv\nlabels: [a, b\ndev_file: c", "line 3: not valid YAML"),
    "tab in YAML": ("train_file: a.csv\n\tlabels: x", "line 2: not valid YAML"),
    "no character": ("train_file: a.csv\nlabels: '\0'", "line 2: not valid YAML .*special characters are"),
    "a list": ("- a\n- b", "is not a task file; it must be a mapping `key: value`"),
    "empty": ("", "is not a task file"),
    "no number": ("dev_share: some", 'line 1: dev_share "some" is not a number'),
    "no whole number": ("split_seed: 1.5", 'line 1: split_seed "1.5" is not an integer'),
    "share": ("\ndev_share: 1.0", "line 2: dev_share 1.0 must be above 0 and below 1"),
    "mode": ("output_mode: regresion", 'line 1: output_mode regresion is not .*did you mean "regression"'),
    "nested": ("labels: {a: 1}", "line 1: labels must be a string or a number, or a list of strings"),
    "nested list": ("labels: [a, [b]]", "line 1: labels must be a string or a number, or a list of strings"),
    "list": ("train_file: [a, b]", "line 1: train_file must be a string or a number"),
    "no rows": (
        "dev_file: a.csv\ntext_columns: b",
        ": train_file is required: .*, dev_file alone is not enough",
    ),
    "no text": ("train_file: a.csv", ": text_columns names nothing; give one or two text columns"),
    "same text": ("train_file: a.csv\ntext_columns: [b, b]", "line 2: text_columns names b and b; give one"),
    "text is label": (
        "train_file: a.csv\ntext_columns: [label, b]",
        "label_column label is also a text column",
    ),
    "duplicate label": (GIVEN + "labels: [x, y, x]", 'line 3: duplicate label "x"'),
    "empty label": (GIVEN + "labels: [x, '']", "line 3: a label is empty, or begins"),
    "one label": (GIVEN + "labels: x", "line 3: only the label x found; at least two"),
    "labels of scores": (
        GIVEN + "output_mode: regression\nlabels: [x, y]",
        "line 4: labels do not apply to a regression",
    ),
    "label with separator": (
        GIVEN + "output_mode: multi_label\nlabels: [x|y, z]",
        'line 4: label "x|y" contains the label_separator |',
    ),
    "separator": (
        GIVEN + "label_separator: ','",
        "line 3: label_separator requires output_mode multi_label, not classification",
    ),
    "metric": (
        GIVEN + "best_metric: pearson",
        "line 3: best_metric pearson is not one of accuracy, .* for classification",
    ),
    "two splits": (
        GIVEN + "dev_share: 0.2\ndev_file: c.csv",
        "line 4: dev_file and dev_share are mutually exclusive",
    ),
    "name": (GIVEN + "task_name: my reviews", 'line 3: task_name "my reviews" is invalid'),
    "GLUE's name": (GIVEN + "task_name: sst2", "line 3: task_name sst2 is a built-in task"),
}


def test_a_list_of_files_is_beside_the_task_file(tmp_path):
    (tmp_path / "c,d.txt").write_text("")
    path = written(tmp_path, GIVEN + "unlabelled_file: a.txt, b.txt")
    found = custom_task(path, {}).unlabelled_file
    assert found == (str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))
    path = written(tmp_path, GIVEN + "unlabelled_file: [a.txt, 'c,d.txt']")
    found = custom_task(path, {}).unlabelled_file
    assert found == (str(tmp_path / "a.txt"), str(tmp_path / "c,d.txt"))


@pytest.mark.parametrize("text, complaint", BAD_FILES.values(), ids=BAD_FILES)
def test_bad_task_files(tmp_path, text, complaint):
    with pytest.raises(UserError, match=f"my_task.yaml.*{complaint.replace('|', '[|]')}") as error:
        custom_task(written(tmp_path, text), {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ('{"train_file": "a.csv",\n "labels": [1, 2}', "my_task.json, line 2: not valid JSON"),
        (
            '{"train_file": "a.csv",\n "labels": [true, "b"]}',
            "line 2: labels must be .* quote true",
        ),
        ('{"train_file": "a.csv",\n "trian_file": "b"}', '2: unknown key "trian_file"; did you mean'),
        (
            '{"labels": ["a", "b"],\n "labels": ["c", "d"]}',
            "line 2: duplicate key labels, first given in line 1",
        ),
        (
            '{"train_file": "a.csv",\n "labels": ["a", null]}',
            "line 2: labels must be .* quote true, false and null",
        ),
        ('["train_file"]', "is not a task file; it must be a mapping"),
    ],
)
def test_bad_json(tmp_path, text, complaint):
    with pytest.raises(UserError, match=complaint):
        custom_task(written(tmp_path, text, "my_task.json"), {})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="absent.yaml does not exist"):
        custom_task(tmp_path / "absent.yaml", {})
    with pytest.raises(UserError, match="my_task.toml must end with .yaml or .json"):
        custom_task(written(tmp_path, "", "my_task.toml"), {})
    (tmp_path / "bad.yaml").write_bytes(b"task_name: caf\xe9")
    with pytest.raises(UserError, match=r"bad.yaml is not UTF-8 \(byte 15\)"):
        custom_task(tmp_path / "bad.yaml", {})


def test_yaml_tags_are_not_executed(tmp_path):
    text = "train_file: !!python/object/apply:os.system ['touch ran']\ntext_columns: b"
    with pytest.raises(UserError, match="line 1: train_file must be a string"):
        custom_task(written(tmp_path, text), {})


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"text_columns": ("a", "b", "c")}, "command line: text_columns names a and b and c"),
        ({"labels": ("x", "x")}, 'command line: duplicate label "x"'),
        ({"output_mode": "multi_label", "label_separator": ""}, "command line: label_separator is empty"),
        (
            {"output_mode": "multi_label", "label_separator": "\t"},
            "label_separator contains a tab or a line break",
        ),
    ],
)
def test_errors_name_the_command_line(change, complaint):
    with pytest.raises(UserError, match=complaint):
        custom_task("", {**FLAGS, **change})


def test_many_labels_are_compared_at_once():
    """A column of scores or ids taken for labels is rejected in linear time."""
    labels, begun = [str(number) for number in range(60_000)], time.process_time()
    assert custom_task("", FLAGS).with_labels(labels).labels == tuple(labels)
    assert time.process_time() - begun < 5


# Manifests of records


def records(folder, own):
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"task": own.task_name, "own_task": own.to_manifest()}))
    return folder


def test_records_specify_their_task(tmp_path):
    own = custom_task("", {**FLAGS, "labels": ("a", "b")})
    folder = records(tmp_path / "records", own)
    assert set(own.to_manifest()) == set(MANIFEST_FIELDS)
    for flags in (
        {"train_data_dir": str(folder)},
        {"eval_data_dir": f"{folder}/dev.tfrecord,x"},
        {"train_data_dir": folder, "task_name": "Reviews"},
    ):
        assert task_for(flags) == own.spec()
    with pytest.raises(UserError, match="--task_name SST-2 contradicts the records .*, which are of reviews"):
        task_for({"train_data_dir": str(folder), "task_name": "SST-2"})


def test_records_of_a_built_in_task(tmp_path):
    (tmp_path / "manifest.json").write_text('{"task": "SST-2"}')
    assert task_for({"train_data_dir": str(tmp_path), "task_name": "sst2"}) == TASKS["SST-2"]
    assert task_for({"train_data_dir": str(tmp_path)}) == TASKS["SST-2"]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "manifest.json").write_text('{"task": "corpus"}')
    with pytest.raises(UserError, match="--task_name is required"):
        task_for({"train_data_dir": str(tmp_path / "corpus")})
    with pytest.raises(UserError, match='did you mean "SST-2"'):
        task_for({"train_data_dir": "absent", "task_name": "SST-3"})


def test_missing_records(tmp_path):
    with pytest.raises(UserError, match="records .*recods do not exist"):
        task_for({"eval_data_dir": str(tmp_path / "recods")})


DAMAGED = [
    (3, "own_task must be an object, not 3"),
    ([1], "own_task must be an object, not a list"),
    ({"labels": 3}, "own_task.labels must be a list, not 3"),
    ({"labels": ["a", 3]}, r"own_task.labels\[1\] must be a string, not 3"),
    ({"max_seq_length": "64"}, 'own_task.max_seq_length must be an integer, not "64"'),
    ({"unknown": 1}, 'task_name "" is invalid'),
    ({"output_mode": "x"}, "output_mode x is unknown"),
    ({"task_name": "x"}, "text_columns names nothing"),
    ({"task_name": "x", "text_columns": ["a"], "labels": ["b", "b"]}, 'duplicate label "b"'),
    ({"task_name": "x", "text_columns": ["a"], "best_metric": "b"}, "best_metric b is not one of"),
]


@pytest.mark.parametrize("carried, words", DAMAGED)
def test_a_damaged_manifest(carried, words):
    with pytest.raises(UserError, match=f"here: {words}.*; prepare the records again"):
        spec_of(carried, "here")
