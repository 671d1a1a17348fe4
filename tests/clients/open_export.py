"""Open exported folders in transformers.js, optimum and onnxruntime-web and compare their logits with ours.

Not run by default, since it installs them: `python -m tests.clients.open_export [FOLDER ...]`, each folder
written by `export --layout hub` from a model that classifies single texts (default: a tiny one in float and
in int8). Needs node, npm and 6 GB of disk; --work FOLDER keeps the installed packages for the next time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from src.data.tokenization.features import encode_texts
from src.stages.serving.predict import Classifier
from src.tools.export import main as export
from tests import tiny

HERE = Path(__file__).parent
NODE_CLIENTS = {"transformers.js": "transformers_js.mjs", "onnxruntime-web": "onnxruntime_web.mjs"}
NODE_PACKAGES = ("@huggingface/transformers", "onnxruntime-web")
# The last one is longer than the model reads.
TEXTS = ("a lovely film", "deki loso", "bade muzu bade", "It's dull, and far too long.", "bade " * 600)
# In int8 a value near a rounding boundary may fall on the other side if floats are summed in another order.
LIMITS = {"fp32": 1e-4, "int8": 0.1}


def install(work: Path) -> dict[str, list[str]]:
    """Install the clients below `work` unless they are there; {client: its command line}."""
    node, python = work / "npm", work / "venv" / "bin" / "python"
    node.mkdir(parents=True, exist_ok=True)
    if not (node / "node_modules").is_dir():
        # The scripts would download a CUDA build of onnxruntime-node.
        options = ["--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(["npm", "install", *options, *NODE_PACKAGES], cwd=node, check=True)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "optimum[onnxruntime]"], check=True)
    for file in NODE_CLIENTS.values():  # imports are resolved from the folder of the script
        (node / file).write_bytes((HERE / file).read_bytes())
    clients = {name: ["node", str(node / file)] for name, file in NODE_CLIENTS.items()}
    return {**clients, "optimum": [str(python), str(HERE / "optimum_client.py")]}


def tiny_exports(work: Path) -> list[Path]:
    """A tiny model in the layout hub, in float and in int8."""
    vocabulary = tiny.write_vocabulary(work / "vocabulary")
    model = tiny.write_model(work / "model", vocabulary, tiny.TINY.replace(labels=("bad", "good")))
    texts = {"train": tiny.single_rows(40, 1), "dev": tiny.single_rows(13, 2)}
    records = tiny.prepare_task(work / "records", vocabulary, "SST-2", texts)
    flags = tiny.flags(model_dir=model, layout="hub", kernels="off")
    export([*flags, f"--output_dir={work / 'fp32'}"])
    export([*flags, f"--output_dir={work / 'int8'}", "--precision=int8", f"--calibration_data={records}"])
    return [work / "fp32", work / "int8"]


def expected_of(folder: Path) -> tuple[dict[str, object], np.ndarray, list[str], str]:
    """(the request to the clients, our logits [rows, C], labels, precision)."""
    classifier = Classifier(folder)
    rows = []
    columns = []
    for text in TEXTS:
        dataset, _, logits = classifier.forward(encode_texts, [(text, None)])
        rows.append(logits[0])
        batch = next(iter(classifier.model.loader(dataset, 1).epoch()))[:3]
        names = ("input_ids", "token_type_ids", "attention_mask")
        columns.append({name: column[0].tolist() for name, column in zip(names, batch, strict=True)})
    labels = [classifier.config.labels[row.argmax()] for row in rows]
    file = str(classifier.model.source.resolve())
    request = {"folder": str(folder.resolve()), "file": file, "texts": TEXTS, "columns": columns}
    return request, np.array(rows), labels, classifier.model.precision


def compare(client: str, command: list[str], folder: Path, work: Path) -> bool:
    """Run one client on one folder and print how its logits and labels differ from ours."""
    request, logits, labels, precision = expected_of(folder)
    (work / "request.json").write_text(json.dumps(request))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    files = [str(work / "request.json"), str(work / "answer.json")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"FAULT {client}, {folder.name} ({precision}): {done.stderr.strip()[-600:]}")
        return False
    answer = json.loads((work / "answer.json").read_text())
    differences = np.abs(np.array(answer["logits"]) - logits).max(axis=1)
    if client == "transformers.js":  # it truncates the token ids, and with them the last [SEP]
        differences = differences[:-1]
    difference = float(differences.max())
    same = answer.get("labels", labels) == labels
    good = same and difference <= LIMITS[precision]
    print(
        f"{'OK   ' if good else 'FAULT'} {client}, {folder.name} ({precision}): {len(differences)} texts, "
        f"largest difference of a logit {difference:.2g}, labels {'equal' if same else answer['labels']}"
    )
    return good


def main() -> int:
    """Compare all clients on all folders; 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--work", type=Path, help="folder for the installed packages (default: temporary)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        clients = install(arguments.work or Path(temporary))
        folders = arguments.folders or tiny_exports(Path(temporary) / "tiny")
        results = [
            compare(client, command, folder, Path(temporary))
            for folder in folders
            for client, command in clients.items()
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
