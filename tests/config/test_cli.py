"""The command line generated from config classes: types of values, their origins, errors."""

import dataclasses

import pytest

from src.config.cli import parse
from src.config.fields import POSITIVE, flag, required_flag, to_dict
from src.errors import UserError


@dataclasses.dataclass(frozen=True)
class Demo:
    """A small stage."""

    name: str = required_flag("name of the stage")
    rows: int = flag(10, "number of rows")
    rate: float = flag(0.5, "rate, at most 100%", check=POSITIVE)
    do_train: bool = flag(True, "train")
    overwrite: bool = flag(False, "delete existing files")
    device: str = flag("auto", "device", ("auto", "CPU", "GPU"), alias="target")
    words: tuple = flag((), "list of words")


def read(*flags, **more):
    return parse(Demo, ["--name", "x", *flags], **more)


@pytest.mark.parametrize(
    "text, value",
    [
        ("true", True),
        ("True", True),
        ("1", True),
        ("yes", True),
        ("false", False),
        ("False", False),
        ("0", False),
        ("off", False),
    ],
)
def test_booleans_of_the_model_zoo(text, value):
    assert read("--do_train", text).config.do_train is value
    assert read(f"--do_train={text}").config.do_train is value
    assert read(f"--overwrite={text}").config.overwrite is value


def test_a_bare_switch_is_true():
    assert read("--overwrite").config.overwrite is True
    assert read("--overwrite", "--rows", "3").config == Demo("x", 3, overwrite=True)
    assert read("--do_train").config.do_train is True


def test_neither_true_nor_false():
    with pytest.raises(UserError, match="--do_train.*'maybe' is neither true nor false"):
        read("--do_train", "maybe")


def test_numbers():
    config = read("--rows", "-1", "--rate", "1e-3").config
    assert (config.rows, config.rate) == (-1, 1e-3)
    with pytest.raises(UserError, match="--rows.*'3.5' is not an integer"):
        read("--rows", "3.5")
    with pytest.raises(UserError, match="--rate.*'fast' is not a number"):
        read("--rate", "fast")
    with pytest.raises(UserError, match="--rows: expected one argument"):
        read("--rows")


@pytest.mark.parametrize("rate", ["0", "-1", "nan"])
def test_a_number_out_of_its_range(rate):
    with pytest.raises(UserError, match=r"--rate \S+ \(command line\) must be above 0"):
        read("--rate", rate)
    with pytest.raises(UserError, match=r"--rate 0.0 \(config module\) must be above 0"):
        read(settings={"rate": 0})


def test_an_unknown_flag_names_the_nearest():
    with pytest.raises(UserError, match='unknown flag --do_tain; did you mean "--do_train"'):
        read("--do_tain", "true")
    with pytest.raises(UserError, match='unknown flag --over_write; did you mean "--overwrite"'):
        read("--over_write=true")
    with pytest.raises(UserError, match=r"unknown flag --qqqqqqqq \("):
        read("--qqqqqqqq")
    # Prefixes are not flags: their meaning would change with the next flag added.
    with pytest.raises(UserError, match="unknown flag --over;"):
        read("--over")


def test_choices_in_any_case():
    assert read("--device", "cpu").config.device == "CPU"
    assert read("--target", "gpu").config.device == "GPU"
    with pytest.raises(UserError, match='--device CPP .command line. is not one of auto.*mean "CPU"'):
        read("--device", "CPP")


@pytest.mark.parametrize(
    "flags, settings", [(["--device", "CPP"], {}), ([], {"device": "CPP"})], ids=["flag", "setting"]
)
def test_a_recipe_sees_valid_choices_only(flags, settings):
    recipe = {"auto": {}, "CPU": {}, "GPU": {}}
    with pytest.raises(UserError, match="--device CPP .* is not one of"):
        read(*flags, settings=settings, recipe=lambda known: recipe[known["device"]])


@pytest.mark.parametrize("flags", [[], ["--name", ""]])
def test_a_required_flag(flags):
    with pytest.raises(UserError, match="--name is required: name of the stage"):
        parse(Demo, ["--rows", "3", *flags])


def test_origins():
    settings, recipe = {"rows": 2, "rate": 0.2}, {"rows": 3, "rate": 0.3, "do_train": False, "unknown": 1}
    resolved = read("--rows", "1", settings=settings, recipe=lambda known: recipe)
    assert to_dict(resolved.config) == {
        "name": "x",
        "rows": 1,
        "rate": 0.2,
        "do_train": False,
        "overwrite": False,
        "device": "auto",
        "words": (),
    }
    assert resolved.origins == {
        "name": "command line",
        "rows": "command line",
        "rate": "config module",
        "do_train": "recipe",
        "overwrite": "default",
        "device": "default",
        "words": "default",
    }
    lines = resolved.table(verbose=True).splitlines()
    assert lines[2].split() == ["rate", "0.2", "(config", "module)"] and len(lines) == 7


def test_the_table_lists_what_differs_from_the_defaults(tmp_path, monkeypatch):
    resolved = read("--rows", "10", settings={"rate": 2}, recipe=lambda known: {"do_train": True})
    assert [line.split()[:2] for line in resolved.table().splitlines()] == [["name", "x"], ["rate", "2.0"]]

    @dataclasses.dataclass(frozen=True)
    class Paths:
        """A stage that reads files."""

        data_dir: str = flag("", "records")

    monkeypatch.chdir(tmp_path)
    assert not parse(Paths, []).table()
    resolved = parse(Paths, ["--data_dir", f"{tmp_path}/a,/b"])
    assert resolved.table().split() == ["data_dir", "a,/b", "(command", "line)"]


def test_the_recipe_receives_the_known_values():
    seen = []
    read("--rows", "1", settings={"name": "y", "rate": 0.2}, recipe=lambda known: seen.append(known) or {})
    assert seen == [{"name": "x", "rate": 0.2, "rows": 1}]


def test_wrong_keys_and_values_of_the_config_module():
    with pytest.raises(UserError, match='unknown key "row" in the config module; did you mean "rows"'):
        read(settings={"row": 3})
    with pytest.raises(UserError, match=r"--device TPU \(config module\) is not one of"):
        read(settings={"device": "TPU"})


@pytest.mark.parametrize("settings, words", [
    ({"rows": "32"}, "--rows '32' .* an integer"),
    ({"rows": 1.5}, "--rows 1.5 .* an integer"),
    ({"rows": True}, "--rows True .* an integer"),
    ({"rate": "1e-4"}, "--rate '1e-4' .* a number"),
    ({"do_train": "false"}, "--do_train 'false' .* true or false"),
    ({"device": None}, "--device None .* a string"),
    ({"words": "a b"}, "--words 'a b' .* a list"),
])  # fmt: skip
def test_a_value_of_the_wrong_type_in_the_config_module(settings, words):
    """The string "false" is true in Python."""
    with pytest.raises(UserError, match=words.replace(".*", r"\(config module\) must be")):
        read(settings=settings)


def test_compatible_types():
    config = read("--words", "a b", "-1", settings={"rate": 2}).config
    assert (config.words, config.rate) == (("a b", "-1"), 2.0) and type(config.rate) is float
    assert read(settings={"words": ["a"]}).config.words == ("a",)


@pytest.mark.parametrize("value", ["inf", "1e999"])
def test_an_infinite_number(value):
    with pytest.raises(UserError, match=r"--rate inf \(command line\) must be a finite number"):
        read("--rate", value)


def test_help_shows_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(Demo, ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "A small stage." in shown
    for text in (
        "--name STR",
        "(required)",
        "number of rows (default: 10)",
        "rate, at most 100%",
        "--do_train [true|false]",
        "train (default: true)",
        "[auto | CPU | GPU] (default: auto)",
        "--target STR",
    ):
        assert text in shown, text
