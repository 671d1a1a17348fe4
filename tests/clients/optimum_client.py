"""optimum: the folder without options, one text at a time. Arguments: request.json, answer.json."""

import json
import sys
from pathlib import Path

from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer

request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
tokenizer = AutoTokenizer.from_pretrained(request["folder"])
model = ORTModelForSequenceClassification.from_pretrained(request["folder"])
logits = [
    model(**tokenizer(text, return_tensors="pt", truncation=True)).logits[0].tolist()
    for text in request["texts"]
]
labels = [model.config.id2label[row.index(max(row))] for row in logits]
Path(sys.argv[2]).write_text(json.dumps({"labels": labels, "logits": logits}), encoding="utf-8")
