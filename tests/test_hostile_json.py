"""Every JSON file that is read: another structure, odd values, depth and digits are one sentence."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.config.bert_config import BertConfig
from src.config.evaluate_config import EvaluateConfig
from src.config.finetune_config import FinetuneConfig
from src.config.quantization import Quantization
from src.config.task.custom import custom_task
from src.config.task.from_records import task_for
from src.data.corpus.shard import METADATA, CorpusJob, finished
from src.data.records.io import read_records
from src.data.records.tfrecord import write
from src.errors import UserError
from src.stages.diagnostics.teacher_caches import describe
from src.stages.evaluation.benchmark import quality_of
from src.stages.evaluation.glue_table import glue_table
from src.stages.evaluation.submission import read_tests
from src.stages.model.inference import export_info
from src.stages.training.run_folder import check_same_config
from src.stages.training.seed_summary import check_comparable, paired, read_summary
from src.tasks import TASKS
from src.tools.glue_table import GlueTableConfig
from src.tools.rank_table import RankTableConfig, local_devices
from src.train.curves.loss_plot import panels_of, parts_of, read_log
from src.weights.reader import read_weights
from tests import tiny

ODD = (None, True, -1, 1 << 40, 10**30, 0.5, float("nan"), float("inf"), "", "x" * 100_000, "\x1b[2J", [], {},
       [None], [[1]], {"x": {}}, {"\n": 3})  # fmt: skip
TEXTS = ("", "{", "[" * 10_000, '{"a":' * 10_000, "9" * 5000, '{"a": ' + "9" * 5000 + "}", "\0", "é")
WORDS = "bert.embeddings.word_embeddings.weight"
SEEDS = {"7": {"eval_accuracy": 0.5, "eval_samples": 3, "folder": "x"}}
SUMMARY = {"stage": "finetune", "task": "SST-2", "metric": "eval_accuracy", "seeds": SEEDS}
OWN = {"task_name": "own", "text_columns": ["text"], "labels": ["a", "b"], "output_mode": "classification",
        "label_column": "label", "best_metric": "", "max_seq_length": 8}  # fmt: skip
SPLIT = {"file": "test.tfrecord", "source": "test.tsv", "rows": 2, "unlabelled": 0, "skipped": 1,
         "bad_rows": [{"line": 2, "reason": "x"}]}  # fmt: skip
MANIFEST = {"task": "SST-2", "labels": ["0", "1"], "max_rows": -1, "tokenizer": {"hash": "x"},
            "files": {"test": SPLIT}}  # fmt: skip
COLUMNS = {name: {"type": "int64", "shape": [4]} for name in ("input_ids", "input_mask", "segment_ids")}
DEVICE = {"device_id": "0", "device_ip": "10.0.0.1", "rank_id": "0"}
RANKS = {"version": "1.0", "status": "completed", "server_count": "1",
         "server_list": [{"server_id": "10.0.0.2", "device": [DEVICE]}]}  # fmt: skip
CONFIG = BertConfig(labels=("a", "b"), quantization=Quantization()).to_json_dict()
CORPUS = CorpusJob((), ([],), None, Path(), "tfrecord", 8, 0.1, 0.0, 1, 1, "error")


def write_rows(folder):
    ones = np.ones((2, 4), np.int64)
    write(folder / "test.tfrecord", [{"input_ids": ones, "input_mask": ones, "segment_ids": ones * 0}])


def read_submission(folder):
    write_rows(folder)
    flags = {"model_dir": "x", "eval_data_dir": str(folder), "write_predictions": "predictions"}
    read_tests(EvaluateConfig(**flags), TASKS["SST-2"])


def read_task(folder):
    task_for({"train_data_dir": folder})


def read_rows(folder):
    write_rows(folder)
    read_records(folder)


def read_shards(folder):
    save_file({WORDS: np.ones((2, 2), np.float32)}, str(folder / "a.safetensors"))
    read_weights(folder)


def read_config(folder):
    save_file({WORDS: np.ones((2, 2), np.float32)}, str(folder / "model.safetensors"))
    read_weights(folder)
    BertConfig.from_json(folder / "config.json")
    export_info(folder)


def read_seeds(folder):
    other = read_summary(folder / "seeds.json")
    check_comparable(other, folder / "seeds.json", TASKS["SST-2"], [7])
    paired(SUMMARY, other, folder)


def read_table(folder):
    file = folder / "SST-2" / "evaluation" / "teacher" / "eval_results.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    (folder / "eval_results.json").replace(file)
    glue_table(GlueTableConfig(output_dir=str(folder)))


def read_metadata(folder):
    file = folder / "shards" / "corpus-00000-of-00001.json"
    job = dataclasses.replace(CORPUS, output_dir=folder)
    job.metadata_file(0).parent.mkdir(exist_ok=True)
    (folder / file.name).replace(job.metadata_file(0))
    finished(job, 0)


def read_losses(folder):
    (folder / "losses.jsonl").write_text((folder / "losses.jsonl").read_text() + "\n")
    for entries in panels_of({"": read_log(folder / "losses.jsonl")}).values():
        parts_of(entries)


# Name of the file: its content and the function of its folder that reads it.
READERS = {
    "manifest.json": (MANIFEST, read_rows),
    "manifest.json of a submission": (MANIFEST, read_submission),
    "manifest.json of a task": ({"own_task": {**OWN, "label_separator": "|"}}, read_task),
    "schema.json": ({"numRows": 2, "columns": COLUMNS}, read_rows),
    "task.json": ({**OWN, "train_file": "x.tsv"}, lambda folder: custom_task(folder / "task.json", {})),
    "run_config.json": ({"values": {"seed": 1}}, lambda folder: check_same_config(folder, FinetuneConfig())),
    "seeds.json": (SUMMARY, read_seeds),
    "eval_results.json": ({"eval_accuracy": 0.5, "eval_samples": 3}, read_table),
    "metrics.json": ({"eval_accuracy": 0.5, "eval_samples": 3}, quality_of),
    "losses.jsonl": ({"step": 1, "title": "x", "loss": 0.5, "parts": {"a": 0.5, "b": 1}}, read_losses),
    "corpus-00000-of-00001.json": ({**dict.fromkeys(METADATA, 1), "file": "x", "sizes": {}, "bad_lines": []},
                                   read_metadata),
    "model.safetensors.index.json": ({"weight_map": {WORDS: "a.safetensors"}}, read_shards),
    "config.json": ({**CONFIG, "export": {"format": "onnx", "precision": "int8"}}, read_config),
    "hccl.json": (RANKS, lambda folder: local_devices(RankTableConfig(str(folder / "hccl.json")))),
}  # fmt: skip


def variants(value):
    """Copies of a JSON value with one value replaced by an odd one, or one key removed."""
    yield from ODD
    for path in paths_of(value):
        for odd in ODD:
            changed = copy.deepcopy(value)
            container_of(changed, path)[path[-1]] = odd
            yield changed
        changed = copy.deepcopy(value)
        del container_of(changed, path)[path[-1]]
        yield changed


def paths_of(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from paths_of(each, (*path, key))


def container_of(value, path):
    for key in path[:-1]:
        value = value[key]
    return value


@pytest.mark.parametrize("name", READERS)
def test_each_variant_is_read_or_one_sentence(name, tmp_path, monkeypatch):
    value, read = READERS[name]
    monkeypatch.chdir(tmp_path)
    file = tmp_path / name.partition(" ")[0]
    file.write_text(json.dumps(value))
    if file.name != "run_config.json":  # of other flags
        read(tmp_path)
    refused = 0
    texts = [*TEXTS, *(json.dumps(variant) for variant in variants(value))]
    for text in texts:
        file.write_text(text)
        try:
            read(tmp_path)
        except UserError as error:
            refused += 1
            message = str(error)
            assert message.isprintable() and len(message) < 1500, message
    assert refused > len(TEXTS) / 2


def test_describing_a_damaged_cache_never_fails(tmp_path):
    for text in (*TEXTS, *map(json.dumps, variants({"rows": 3, "notes": {"of": "logits"}, "sums": 3}))):
        (tmp_path / "manifest.json").write_text(text)
        assert describe(tmp_path)


def test_sizes_are_compared_with_the_weights_before_anything_is_built(tmp_path, vocabulary):
    from src.stages.model.load import read_model

    tiny.write_model(tmp_path / "model", vocabulary)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "SHA256SUMS").unlink()
    for change in ({"vocab_size": (1 << 31) - 1}, {"hidden_size": 1 << 20, "num_hidden_layers": 1000}):
        (tmp_path / "model" / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(UserError, match="holds [0-9,]+ numbers, but its config describes [0-9,]+ .vocab"):
            read_model(tmp_path / "model", print)
