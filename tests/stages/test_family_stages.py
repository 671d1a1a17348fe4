"""Each family through each stage: the logits of what the stage writes are those of transformers.

`python -m tests.stages.test_family_stages` prints the largest differences as a table.
"""

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from run_finetune import main as finetune
from run_q8bert_train import main as q8bert
from run_task_distill import main as task_distill
from src.config.data_config import ModelConfig
from src.stages.model.inference import load_for_inference
from src.tools.benchmark import main as benchmark
from src.tools.convert import main as convert
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from tests import families, tiny

pytestmark = [pytest.mark.usefixtures("graph_mode"), pytest.mark.reference, pytest.mark.slow]
TOLERANCE = 1e-4  # of logits up to 10
STEPS = tiny.flags(train_steps=3, logging_step=3, length_buckets="off", batch_size=8, learning_rate=1e-3)
SIZES = tiny.flags(num_hidden_layers=1, hidden_size=24, num_attention_heads=4, intermediate_size=40)
SIZES += tiny.flags(initializer_range=0.3)
PHASES = tiny.flags(td_phase1_epoch_size=1, td_phase2_epoch_size=1, phase2_learning_rate=1e-3)


def pretrained(folder, family, vocabulary):
    """A model pretrained on tokens, as transformers saves it: without a pooler, with a head of its own."""
    import transformers

    config = families.their_model(family, "classification").config
    config.id2label, config.architectures = {0: "LABEL_0", 1: "LABEL_1"}, None
    config.initializer_range = 0.3  # of new heads: differences of large logits show
    kind = "ForPreTraining" if family == "electra" else "ForMaskedLM"
    prefix = families.FAMILIES[family].class_prefix
    families.with_weights(getattr(transformers, prefix + kind)(config)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes((vocabulary / name).read_bytes())
    return folder


def their_logits(folder, columns):
    """Logits of transformers, which opens the folder itself and misses nothing."""
    import transformers

    load = transformers.AutoModelForSequenceClassification.from_pretrained
    model, info = load(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return families.their_logits(model.eval(), columns), model.config.model_type


def stages(family, records, vocabulary, folder):
    """{stage: largest difference between its logits and those of transformers} of a family."""
    at = {name: folder / name for name in ("finetune", "student", "layers", "q8bert", "fp32", "int8", "hf")}
    data = {"task_name": "SST-2", "train_data_dir": records, "eval_data_dir": records}
    start = pretrained(folder / "pretrained", family, vocabulary)
    finetune([*tiny.flags(**data, output_dir=at["finetune"], load_pretrained_path=start), *STEPS])
    assert "pooler and head are newly initialized" in (at["finetune"] / "log.txt").read_text()
    teacher = at["finetune"] / "best"
    common = [*tiny.flags(**data, load_teacher_ckpt_path=teacher), *STEPS, *PHASES]
    task_distill([*common, *SIZES, *tiny.flags(output_dir=at["student"])])
    sizes = tiny.flags(num_hidden_layers=1, hidden_size=32, num_attention_heads=4, intermediate_size=48)
    task_distill([*common, *sizes, *tiny.flags(output_dir=at["layers"], student_init="teacher_layers")])
    models = tiny.flags(load_ckpt_path=teacher, load_teacher_ckpt_path=teacher, epoch_num=1)
    places = tiny.flags(**data, output_dir=at["q8bert"], train_batch_size=8)
    q8bert([*places, *models, *STEPS[:3]])
    export(tiny.flags(model_dir=teacher, output_dir=at["fp32"]))
    comparison = export_int8(at["q8bert"] / "best", at["int8"])
    convert(tiny.flags(input=at["q8bert"] / "best", output_dir=at["hf"], to="hf"))
    export(tiny.flags(model_dir=at["q8bert"] / "best", output_dir=folder / "hf32"))
    assert len(accuracies(records, teacher, at["fp32"])) == 1
    pair = f"big={at['fp32']},small={at['int8']}"
    counts = tiny.flags(lengths=8, repeats=2, batches=1, threads=1)
    benchmark([*tiny.flags(models=pair, output_dir=folder / "bench"), *counts])
    columns = families.batch(family, "classification")
    pairs = {
        "finetune": (teacher, teacher),
        "distill: BERT student": (at["student"] / "last", at["student"] / "last"),
        "distill: teacher's layers": (at["layers"] / "last", at["layers"] / "last"),
        "export fp32": (at["fp32"], teacher),
        "q8bert, float weights": (folder / "hf32", at["hf"]),
    }
    found = {}
    for stage, (ours, theirs) in pairs.items():
        expected, model_type = their_logits(theirs, columns)
        assert model_type == ("bert" if "BERT" in stage else family)
        logits = load_for_inference(ours, ModelConfig(device_target="CPU")).predict(*columns)
        assert np.abs(expected).max() > 0.1
        found[stage] = float(np.abs(logits - expected).max())
    return {**found, "int8 file to q8bert": comparison}


def export_int8(model, folder):
    """The largest difference of a logit between the int8 file and the model that simulates it."""
    from src.stages.serving.export import export as run
    from src.tools.export import ExportConfig

    config = ExportConfig(model_dir=str(model), output_dir=str(folder), precision="int8")
    return run(config).comparison.largest


def accuracies(records, *models):
    """The different accuracies of some folders."""
    found = set()
    for model in models:
        out = Path(f"{model}_eval")
        evaluate(tiny.flags(task_name="SST-2", model_dir=model, eval_data_dir=records, output_dir=out))
        found.add(json.loads((out / "eval_results.json").read_text())["eval_accuracy"])
    return found


@pytest.mark.parametrize("family", families.NAMES)
def test_all_stages(tmp_path, vocabulary, sst2, family):
    for stage, difference in stages(family, sst2, vocabulary, tmp_path).items():
        assert difference < (0.05 if "int8" in stage else TOLERANCE), stage


def main(names):
    """Print the table, a row for each of the families `names` (default: all) as soon as it is known."""
    columns = None
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            vocabulary = tiny.write_vocabulary(Path(folder) / "vocabulary")
            texts = {"train": tiny.single_rows(40, 1), "dev": tiny.single_rows(13, 2)}
            records = tiny.prepare_task(Path(folder) / "sst2", vocabulary, "SST-2", texts)
        for family in names or families.NAMES:
            with contextlib.redirect_stdout(io.StringIO()):
                row = stages(family, records, vocabulary, Path(folder) / family)
            if columns is None:
                columns = list(row)
                print(f"| family | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
            print(f"| {family} | {' | '.join(f'{row[name]:.1e}' for name in columns)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
