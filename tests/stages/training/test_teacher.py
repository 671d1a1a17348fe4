"""The teacher cache in runs on tiny models: against the teacher in every step, and read by a second run."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from run_task_distill import main as distil
from src.config.distill_config import TeacherConfig
from src.distill.network import TeacherOutputs
from src.distill.teacher_cache import cache_of, caches_of, delete_caches
from src.errors import UserError
from src.kernels.layers import Bf16MatMul
from src.model.layers import FLOAT_LAYERS
from src.stages.model import load
from src.stages.model.device import DeviceSetup
from src.stages.training.teacher import Teacher, _device, load_teacher
from src.tools.cache import main as cache_tool
from src.train.throughput import ThroughputMeter
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SIZES = "--num_hidden_layers 1 --hidden_size 24 --num_attention_heads 4 --intermediate_size 40".split()
EPOCHS = "--td_phase1_epoch_size 2 --td_phase2_epoch_size 2 --batch_size 8 --learning_rate 1e-3".split()
NO_DROPOUT = "--hidden_dropout_prob 0 --attention_probs_dropout_prob 0 --logging_step 1".split()
STEPS, LEARNING_RATE = 20, 1e-3


@pytest.fixture(scope="module")
def runs(tmp_path_factory, vocabulary, sst2):
    """Output folders of one run without a cache, one that writes it, one that reads it; over two buckets."""
    folder = tmp_path_factory.mktemp("cached")
    teacher = tiny.write_model(folder / "teacher", vocabulary, seed=3)

    def run(name, cache, **options):
        places = {"task_name": "SST-2", "load_teacher_ckpt_path": teacher, "train_data_dir": sst2}
        more = {"do_eval": "false", "output_dir": folder / name, "teacher_cache": cache, **options}
        distil([*tiny.flags(**places, **more, phase2_learning_rate=1e-3), *EPOCHS, *SIZES, *NO_DROPOUT])

    def forbidden(*arguments):
        raise AssertionError("the teacher was built into a graph")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("src.data.dataloader.COMPILE_TOKENS", 20)
        patch.setattr("src.data.dataloader.STEP", 8)
        run("off", "off")
        run("writes", "auto", keep_teacher_cache="true")
        # Compiled or not, what the teacher answers goes through this cell.
        patch.setattr(TeacherOutputs, "construct", forbidden)
        patch.setattr("src.distill.cached_teacher.CachedTeacher._forward", forbidden)
        run("reads", "auto")
    return folder


def weights(folder, name="last"):
    return read_weights(folder / name).arrays


def log_of(folder):
    return (folder / "log.txt").read_text()


def test_the_same_student_within_the_bounds_of_float16(runs):
    """20 steps of Adam move a weight by up to 0.02; float16 targets turn that by a fiftieth at the most."""
    assert re.search(r"lengths \d+/\d+", log_of(runs / "off")), "one bucket only"
    off, writes, start = (
        weights(runs / name, where)
        for name, where in (("off", "last"), ("writes", "last"), ("off", "phase1"))
    )
    assert max(np.abs(off[name] - start[name]).max() for name in off) > 3e-3
    for name, array in off.items():
        np.testing.assert_allclose(writes[name], array, atol=STEPS * LEARNING_RATE / 50, err_msg=name)
    assert any((writes[name] != off[name]).any() for name in off), "nothing was rounded"


def test_a_second_run_reads_and_ends_as_the_first(runs):
    one, other = weights(runs / "writes"), weights(runs / "reads")
    for name, array in one.items():
        np.testing.assert_allclose(other[name], array, atol=1e-6, err_msg=name)
    log = log_of(runs / "reads")
    assert log.count("reading ") == 2 and log.count("the teacher does not run") == 2
    waits = re.findall(r"^waited for the teacher cache: ([\d.]+) % of the epoch$", log, re.M)
    assert len(waits) == 4 and all(0 <= float(wait) <= 100 for wait in waits)
    written = log_of(runs / "writes")
    # Phase 1's first epoch kept the logits along with the layers: phase 2 finds them.
    assert len(re.findall(r"40 rows, \S+ MB, \S+ MB of disk free; written to", written)) == 1
    assert written.count("the teacher does not run") == 1
    assert len(re.findall(r"waited for the teacher cache", written)) == 3


def test_a_run_deletes_only_caches_that_it_wrote(runs, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(runs / "teacher_cache", root)
    (root / "mine").mkdir()
    assert "2 kept in" in log_of(runs / "writes") and "kept in" not in log_of(runs / "reads")
    assert caches_of(root, runs / "reads") == []
    written = caches_of(root, runs / "writes")
    size = sum(path.stat().st_size for folder in written for path in folder.iterdir())
    assert len(written) == 2 and delete_caches(written) == size
    assert [path.name for path in root.iterdir()] == ["mine"]


def test_the_tool_lists_and_deletes(runs, tmp_path, capsys):
    root = tmp_path / "copy"
    for folder in (runs / "teacher_cache").iterdir():
        (root / folder.name).mkdir(parents=True)
        for file in folder.iterdir():
            (root / folder.name / file.name).write_bytes(file.read_bytes())
    (root / ("." + "0" * 20 + ".part")).mkdir()
    (root / "mine").mkdir()
    place = tiny.flags(teacher_cache_dir=root)
    cache_tool([*place, "--list"])
    listed = capsys.readouterr().out.splitlines()
    rows = (row for row in listed if "40 rows" in row)
    layers, logits = sorted(rows, key=lambda row: "logits" in row)
    assert "of states 0/2, scores 2, teacher " in layers and "of logits, teacher " in logits
    assert any("incomplete, left by an aborted run" in row for row in listed)
    assert re.search(r": 3 caches, \S+ MB$", listed[-1])
    with pytest.raises(UserError, match="no such cache"):
        cache_tool([*place, "--delete", "abc"])
    mine = root / layers.split()[0] / "mine"
    mine.write_text("x")
    with pytest.raises(UserError, match="holds mine, which is not part of a cache, so nothing was deleted"):
        cache_tool([*place, "--delete", "all"])
    mine.unlink()
    cache_tool([*place, "--delete", layers.split()[0]])
    assert "deleted 1 caches" in capsys.readouterr().out and len(list(root.iterdir())) == 3
    cache_tool([*place, "--delete", "all"])
    assert [path.name for path in root.iterdir()] == ["mine"]


def cache_with(tmp_path, network, table, config=tiny.TINY, **changes):
    features, layer_map = changes.get("features", ["embedding", "hidden"]), changes.get("layer_map", (1, 2))
    device = DeviceSetup("CPU", "float32", "float32", **changes.get("device", {}))
    teacher = Teacher(network, config, "somewhere", device)
    return cache_of(tmp_path, teacher, table, features, layer_map).key


WIDE = 256


def precision_run(library, has_kernel=True, measured=None, any_rank=bool):
    """What of a run the choice of a teacher's precision reads; its log is the list `logged`."""
    device = DeviceSetup("CPU", "float32", "float32", bf16_library=str(library) if has_kernel else "")
    run = SimpleNamespace(device=device, config=TeacherConfig(), any_rank=any_rank, logged=[])
    run.measured, run.logger = measured or {}, SimpleNamespace(info=run.logged.append)
    return run


@pytest.mark.parametrize(
    "width, rate, has_kernel, slower_rank, in_bf16",
    [
        (WIDE, 2e9, True, False, True),
        (WIDE, 1.156e9, True, False, False),
        (WIDE, 2e9, True, True, False),
        (WIDE, 2e9, False, False, False),
        (32, 2e9, True, False, False),
    ],
    ids=["faster", "hardly faster", "not on every rank", "without bf16", "narrow"],
)
def test_products_of_a_teacher_in_auto_precision(
    library, monkeypatch, width, rate, has_kernel, slower_rank, in_bf16
):
    """bf16 where all ranks measure it to be faster, which is logged; the student's products stay float32."""
    rates = {True: 1e9, False: rate}  # of MindSpore's products, of the kernel's
    monkeypatch.setattr(DeviceSetup, "matmul_rate", lambda device, width: rates[device.product is None])
    run = precision_run(library, has_kernel, any_rank=lambda flag: flag or slower_rank)
    chosen = _device(run, width)
    assert run.measured == {"teacher_precision": chosen.precision}
    assert chosen.precision == ("bf16" if in_bf16 else "fp32")
    measured = f"{chosen.precision} for the teacher; bf16 has {rate / 1e9:.2f} times fp32's rate"
    assert [measured in line for line in run.logged] == [True] * (has_kernel and width == WIDE)
    assert isinstance(chosen.layers.matmul(tiny.TINY), Bf16MatMul) == in_bf16
    assert run.device.layers is FLOAT_LAYERS and (chosen is run.device) != in_bf16
    run.config = TeacherConfig(matmul_precision="fp32")
    assert _device(run, width) is run.device


@pytest.mark.parametrize(
    "before, has_kernel, others_have",
    [("fp32", True, True), ("bf16", True, True), ("bf16", False, True), ("bf16", True, False)],
)
def test_a_resumed_run_keeps_the_precision_of_its_teacher(library, before, has_kernel, others_have):
    """Nothing is measured again; where a rank's machine cannot do the same, all ranks change and say so."""
    any_rank = lambda flag: flag or not others_have  # noqa: E731
    run = precision_run(library, has_kernel, {"teacher_precision": before}, any_rank)
    chosen = _device(run, WIDE).precision
    assert chosen == run.measured["teacher_precision"] == (before if has_kernel and others_have else "fp32")
    text = "as before" if chosen == before else "no longer bf16: a machine has no such products"
    line = f"matmul precision auto: {chosen} for the teacher, {text}"
    assert run.logged == ([line] if before == "bf16" else [])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_share_of_a_rate_that_is_not_the_teacher_s(library, tmp_path, precision):
    run = precision_run(library, measured={"teacher_precision": precision})
    run.task, run.meter = None, ThroughputMeter(rate=lambda: 1e9)
    teacher = load_teacher(run, load.read_model(tiny.write_model(tmp_path / "teacher", None), print))
    assert teacher.device.precision == precision and not teacher.network.training
    assert (run.meter.rate is None) == (precision == "bf16")


def test_what_another_key_comes_of(tmp_path):
    from src.data.dataset import TokenizedDataset
    from src.model.bert import BertClassifier
    from src.model.state_dict import named_parameters

    tokens = np.arange(5, 15)
    table = TokenizedDataset.from_flat(tokens, tokens * 0, [4, 6], np.zeros(2, np.int64), 16)
    network = BertClassifier(tiny.TINY)
    key = cache_with(tmp_path, network, table)
    others = {
        cache_with(tmp_path, network, TokenizedDataset.from_flat(tokens + 1, tokens * 0, [4, 6], None, 16)),
        cache_with(tmp_path, network, TokenizedDataset.from_flat(tokens, tokens * 0, [5, 5], None, 16)),
        cache_with(tmp_path, network, TokenizedDataset.from_flat(tokens, tokens * 0, [4, 6], None, 8)),
        cache_with(tmp_path, network, table, layer_map=(1,)),
        cache_with(tmp_path, network, table, features=["hidden"]),
        cache_with(tmp_path, network, table, features=["logits"]),
        cache_with(tmp_path, network, table, device={"precision": "bf16"}),
        cache_with(tmp_path, network, table, device={"precision": "bf16", "product": print}),
        cache_with(tmp_path, network, table, tiny.TINY.replace(labels=("1", "0"))),
        cache_with(tmp_path, network, table, tiny.TINY.replace(head_activation="relu")),
    }
    # Labels are the student's matter, and dropout does not act in a teacher.
    other_labels = TokenizedDataset.from_flat(tokens, tokens * 0, [4, 6], np.ones(2, np.int64), 16)
    assert cache_with(tmp_path, network, other_labels) == key
    for silent in ({"hidden_dropout_prob": 0.3}, {"label_separator": ";"}):
        assert cache_with(tmp_path, network, table, tiny.TINY.replace(**silent)) == key
    weight = next(p for n, p in named_parameters(network).items() if n.endswith("pooler.dense.bias"))
    weight.set_data(weight + 1e-3)
    others.add(cache_with(tmp_path, network, table))
    assert len(others) == 11 and key not in others


def test_the_choice(monkeypatch, tmp_path):
    from src.stages.training import teacher

    logged = []
    monkeypatch.setattr(teacher, "_free_bytes", lambda folder: 8e9)
    cache = SimpleNamespace(bytes=3e9, folder=tmp_path / "key", lengths=[1] * 70, is_complete=lambda: False)
    spec, loader = SimpleNamespace(title="phase 1", number=1, epochs=2), SimpleNamespace(steps_per_epoch=10)

    def use(steps=-1, before=None, **values):
        """(rounded, written)"""
        config = SimpleNamespace(train_steps=steps, **vars(TeacherConfig(**values)))
        run = SimpleNamespace(config=config, logger=SimpleNamespace(info=logged.append), broadcast=bool)
        run.measured = {"teacher_outputs_phase1": before} if before else {}
        run.record = run.measured.__setitem__
        rounded, has_room, written = teacher._cache_use(run, spec, loader, cache)
        assert run.measured == {"teacher_outputs_phase1": "float16" if rounded else "float32"}
        assert has_room or not written
        return rounded, written

    def chosen(*steps, **values):
        rounded, written = use(*steps, **values)
        assert rounded == (written or cache.is_complete())
        return rounded

    assert not chosen() and "70 rows, 3,000.0 MB, 8,000.0 MB of disk free; off (more than a" in logged[-1]
    assert chosen(teacher_cache="full")
    assert not chosen(teacher_cache="full", teacher_cache_limit_gb=2.5) and "limit_gb 2.5" in logged[-1]
    assert not chosen(9, teacher_cache="full") and "ends before its first epoch does" in logged[-1]
    cache.bytes = 9e9
    assert not chosen(teacher_cache="full") and "no room" in logged[-1]
    # A resumed run goes on as it began, unless a flag says otherwise.
    assert use(before="float16") == (True, False) and "not written (more than a quarter" in logged[-1]
    assert use(before="float16", teacher_cache="full") == (False, False)
    cache.bytes = 1e9
    assert use(before="float32") == (False, False) and "off (as before)" in logged[-1]
    assert use(before="float32", teacher_cache="full") == (True, True)
    # Nothing reads the cache of a single epoch but another run.
    assert use(10) == (True, False) and "not written (no later epoch would read it)" in logged[-1]
    assert use(11) == use(10, keep_teacher_cache=True) == (True, True)
    cache.is_complete = lambda: True
    assert chosen() and "the teacher does not run" in logged[-1]
    assert use(before="float32") == (False, False)
