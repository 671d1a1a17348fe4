"""An exported file against the model it was made from: the same rows through both, logit by logit."""

import dataclasses

import numpy as np

from ...data import splits
from ...data.dataset import TokenizedDataset
from ...errors import UserError
from ...infer.logits import collect_logits
from ...infer.predictor import predictor
from ..model import load
from ..model.device import setup_device
from ..model.inference import OPENERS, task_of

BATCH = 32
RANDOM_ROWS, RANDOM_LENGTH = 32, 64
# Float sums in another order move a logit by 1e-5 or so. In integers a number at the edge of rounding can
# fall to the other side, and a step there moves all that follows: most rows agree as floats do, a few differ.
LARGEST, TYPICAL_SHARE = 1e-3, 0.05


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Logits of file and model over some rows, or over their tokens where each has an answer.

    Of each row (token) the largest difference of a logit: `largest` and `typical` are its maximum and median.
    `changed` counts the predictions that differ (None for scores), `margin` is the largest distance between
    the model's best two logits among those rows; `scale` is the root mean square of the model's logits,
    `unit` says whether `count` is of rows or of tokens.
    """

    unit: str
    count: int
    largest: float
    typical: float
    changed: int | None
    margin: float
    scale: float

    @classmethod
    def of(cls, logits, expected, output_mode="classification"):
        """Compare logits [rows, C], or [tokens, C], with those expected."""
        differences = np.abs(logits - expected).max(axis=1)
        changed, margin = None, 0.0
        if output_mode != "regression":
            changed, margin = _changed(*(_choices(values, output_mode) for values in (logits, expected)))
        unit = "tokens" if output_mode == "token_classification" else "rows"
        return cls(
            unit,
            len(logits),
            float(differences.max()),
            float(np.median(differences)),
            changed,
            margin,
            float(np.sqrt(np.mean(expected**2))),
        )

    def agrees(self, precision):
        """Whether the differences are those of rounding; never with NaN among the logits."""
        if precision == "int8":
            return self.typical <= TYPICAL_SHARE * self.scale and np.isfinite(self.largest)
        return self.largest <= LARGEST

    def __str__(self):
        found = (
            f"file and model over {self.count} {self.unit}: logits differ by at most {self.largest:.2g}"
            f", in half of the {self.unit} by at most {self.typical:.2g}"
        )
        if self.changed is None:
            return found
        margin = f", by margins of up to {self.margin:.2g} in the model" if self.changed else ""
        return f"{found}; {self.changed} predictions differ{margin}"


def _changed(ours, theirs):
    """(number of predictions that differ, the largest margin of one in `theirs`) of logits [rows, C]."""
    changed = ours.argmax(axis=1) != theirs.argmax(axis=1)
    best = np.sort(theirs[changed], axis=1)
    return int(changed.sum()), float((best[:, -1] - best[:, -2]).max()) if changed.any() else 0.0


def _choices(logits, output_mode):
    """Logits of what is chosen among: of several labels each is a choice of its own, no (0) or yes."""
    if output_mode != "multi_label":
        return logits
    return np.stack([np.zeros_like(logits), logits], axis=-1).reshape(-1, 2)


def check(file, files, config):
    """Reload an exported file and compare it with the network of `files` (load.ModelFiles).

    Prints and returns the Comparison. Raises UserError when more than rounding lies between the two.
    """
    table = rows_to_compare(files, config)
    device = setup_device(config, lambda remark: None)
    network, _ = load.classifier_from(files, task_of(files), device, lambda remark: None)
    batches = splits.make_loader(table, config, BATCH, shuffle=False)
    exported = OPENERS[config.format](file, files.config, config, 0)
    found = Comparison.of(
        collect_logits(exported.predict, batches),
        collect_logits(predictor(network), batches),
        files.config.output_mode,
    )
    print(found)
    if not found.agrees(config.precision):
        raise UserError(
            f"the exported file does not compute what the model does (logits differ by up to "
            f"{found.largest:.3g}); it was not kept: please report this"
        )
    return found


def rows_to_compare(files, config):
    """The first rows of the evaluation records, or rows of random token ids of many lengths."""
    bert, path = files.config, config.eval_data_dir
    if path:
        table = splits.read_split(config, path, "dev").head(config.compare_rows)
        splits.check_dataset(table, bert, None, path)
        splits.check_tokenizer(files.tokenizer_dir, table, path)
        return table
    draw = np.random.default_rng(0)
    longest = min(RANDOM_LENGTH, bert.max_position_embeddings)
    lengths = draw.integers(min(3, longest), longest + 1, RANDOM_ROWS)
    tokens = draw.integers(0, bert.vocab_size, lengths.sum())
    segments = draw.integers(0, bert.type_vocab_size, lengths.sum())
    return TokenizedDataset.from_flat(tokens, segments, lengths, None, longest)
