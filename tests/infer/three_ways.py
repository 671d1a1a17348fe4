"""python -m tests.infer.three_ways MODEL_DIR EXPORTED_DIR RECORDS: compare versions of a quantized model.

Compares fake quantization as in training, the exported int8 file in ONNX Runtime, and integer arithmetic in
NumPy over all rows of the dev split: the differences of the logits, and the predictions that differ.
"""

import argparse
import itertools
from collections.abc import Sequence

import numpy as np

from src.config.data_config import RecordsConfig
from src.data import splits
from src.errors import run_main
from src.infer.logits import collect_logits
from src.stages.model import load
from src.stages.model.inference import load_for_inference
from src.stages.serving.verify import Comparison
from tests.infer.integer_bert import IntegerBert


def main(argv: Sequence[str] | None = None) -> None:
    """Print the comparison of each pair of versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model_dir", "exported_dir", "records"):
        parser.add_argument(name)
    paths = parser.parse_args(argv)
    config = RecordsConfig(eval_data_dir=paths.records, length_buckets="auto")
    dataset = splits.read_split(config, paths.records, "dev")
    loader = splits.make_loader(dataset, config, 32, shuffle=False)
    files = load.read_model(paths.model_dir, lambda message: None)
    versions = {
        "simulation": load_for_inference(paths.model_dir, config, 0).predict,
        "int8 file": load_for_inference(paths.exported_dir, config, 0).predict,
        "NumPy integers": IntegerBert(files.config, files.arrays),
    }
    logits = {name: collect_logits(predict, loader) for name, predict in versions.items()}
    print(f"{dataset.rows} rows")
    for first, second in itertools.combinations(logits, 2):
        comparison = Comparison.of(logits[second], logits[first])
        print(f"{first} and {second}: {str(comparison).split(': ', 1)[1]}")
        for row in np.flatnonzero(logits[first].argmax(1) != logits[second].argmax(1)):
            print(f"  row {row}: logits {logits[first][row]} and {logits[second][row]}")


if __name__ == "__main__":
    run_main(main)
