"""A model folder as a Python object: texts in, labels and probabilities out."""
import numpy as np
from scipy.special import softmax

from src.config.train_config import RecordsConfig
from src.data.features import encode_texts
from src.data.tokenization import load_tokenizer
from src.errors import UserError
from src.infer.evaluate import LogitsCell, predict_logits
from src.stages import load, tables
from src.stages.kernels import equip_device
from src.tasks import TaskSpec


class Classifier:
    """Answers with a model folder (best/ or last/ of a run, or any Hugging Face BERT with a head).

    `max_seq_length` cuts longer texts (0: the model's positions). Raises UserError for a folder that is none.
    """

    def __init__(self, model_dir, max_seq_length=0, batch_size=32, device_target="auto"):
        self.settings = RecordsConfig(device_target=device_target, eval_batch_size=batch_size)
        device = equip_device(self.settings, lambda remark: None)
        files = load.read_model(model_dir, lambda remark: None)
        if files.tokenizer_dir is None:
            raise UserError(f"{model_dir} holds no tokenizer files; copy them beside the weights")
        self.labels = files.config.labels
        task = TaskSpec("the model's own task", ("text",), labels=self.labels)
        self.network, config = load.classifier_from(files, task, device, lambda remark: None)
        self.tokenizer = load_tokenizer(files.tokenizer_dir)
        self.max_seq_length = max_seq_length or config.max_position_embeddings
        self.cell = LogitsCell(self.network)

    def __call__(self, texts):
        """One answer for each text, in order.

        `texts` are strings, or pairs (text_a, text_b). Returns (label, probability) for each; for a
        regression model the score alone.
        """
        pairs = [(text, None) if isinstance(text, str) else tuple(text) for text in texts]
        table, _ = encode_texts(pairs, self.tokenizer, self.max_seq_length)
        batches = tables.make_batches(table, self.settings, self.settings.eval_batch_size, shuffle=False)
        logits = predict_logits(self.cell, batches)
        if not self.labels:
            return [float(score) for score in logits[:, 0]]
        probabilities = softmax(logits, axis=-1)
        return [(self.labels[best], float(row[best])) for row, best in
                zip(probabilities, np.argmax(probabilities, axis=-1), strict=True)]
