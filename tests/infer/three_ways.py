"""python -m tests.infer.three_ways MODEL_DIR EXPORTED_DIR RECORDS: a quantized model, computed in three ways.

The simulation that training computes with, the exported int8 file in ONNX Runtime, and the integer reference
in NumPy, over all rows of the dev split: how far the logits are apart, and which predictions differ.
"""

import argparse
import itertools

import numpy as np

from src.config.data_config import RecordsConfig
from src.data import splits
from src.errors import run_main
from src.infer.logits import collect_logits
from src.stages.model import load
from src.stages.model.inference import load_for_inference
from src.stages.serving.verify import Comparison
from tests.infer.integer_bert import IntegerBert


def main(argv=None):
    """Compute and print the comparison of each pair of ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model_dir", "exported_dir", "records"):
        parser.add_argument(name)
    paths = parser.parse_args(argv)
    config = RecordsConfig(eval_data_dir=paths.records, length_buckets="auto")
    table = splits.read_split(config, paths.records, "dev")
    batches = splits.make_loader(table, config, 32, shuffle=False)
    files = load.read_model(paths.model_dir, lambda remark: None)
    ways = {
        "simulation": load_for_inference(paths.model_dir, config, 0).predict,
        "int8 file": load_for_inference(paths.exported_dir, config, 0).predict,
        "NumPy integers": IntegerBert(files.config, files.arrays),
    }
    logits = {name: collect_logits(way, batches) for name, way in ways.items()}
    print(f"{table.rows} rows")
    for first, second in itertools.combinations(logits, 2):
        found = Comparison.of(logits[second], logits[first])
        print(f"{first} and {second}: {str(found).split(': ', 1)[1]}")
        for row in np.flatnonzero(logits[first].argmax(1) != logits[second].argmax(1)):
            print(f"  row {row}: logits {logits[first][row]} and {logits[second][row]}")


if __name__ == "__main__":
    run_main(main)
