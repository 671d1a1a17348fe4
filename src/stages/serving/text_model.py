"""A model folder opened to be asked about texts, whatever its answers are."""

from ...config.data_config import DeviceConfig
from ...data.splits import model_tokenizer
from ...errors import UserError
from ...infer.logits import collect_logits
from ...train.throughput import ThroughputMeter
from ..model.inference import load_for_inference


class TextModel:
    """A folder best/ or last/ of a run, a Hugging Face BERT with a head, or an export, with its tokenizer.

    An exported ONNX file is run by ONNX Runtime with `threads` threads (0: one a core), all else by MindSpore
    on `device_target`, or as `settings`, a DeviceConfig, say. `max_seq_length` cuts longer texts (0: the
    model's positions). Raises UserError for a folder that is none of these.
    """

    def __init__(
        self, model_dir, max_seq_length=0, batch_size=32, device_target="auto", threads=0, settings=None
    ):
        settings = settings or DeviceConfig(device_target=device_target)
        self.meter = ThroughputMeter()
        self.model = load_for_inference(model_dir, settings, threads, meter=self.meter)
        self.config, self.batch_size = self.model.config, batch_size
        positions = self.config.max_position_embeddings
        if max_seq_length > positions:
            raise UserError(
                f"max_seq_length {max_seq_length} is more than the {positions} positions of {model_dir}"
            )
        self.max_seq_length = max_seq_length or positions
        self.tokenizer = model_tokenizer(self.model)

    def ask(self, encode, texts, *more):
        """(TokenizedDataset, EncodingCounts, logits) of `encode(texts, tokenizer, *more, length)`."""
        with self.meter.working():
            table, counts = encode(texts, self.tokenizer, *more, self.max_seq_length)
            logits = collect_logits(self.model.predict, self.model.batches(table, self.batch_size))
        self.meter.add(table.rows, table.lengths.sum())
        return table, counts, logits


def as_list(texts):
    """The same texts. Raises UserError for one text alone, which is a sequence too: of its letters."""
    if isinstance(texts, str):
        raise UserError(f'give a list of texts, ["{texts[:40]}"], not one text alone')
    return texts
