"""Quantization-aware training (Q8BERT). SETTINGS and the two networks are yours to edit."""

import dataclasses

from ..commands import command_line
from ..errors import UserError
from .bert_config import BertConfig
from .cli import parse
from .distill_config import TeacherCacheConfig
from .fields import DROPOUT, NOT_NEGATIVE, POSITIVE, SHARE, flag, to_dict
from .quantization import BITS, Quantization
from .task.from_records import task_for
from .train_config import TrainConfig

NO_INIT = "none"


def _is_init(text):
    try:
        return text == NO_INIT or 0 < float(text) < float("inf")
    except ValueError:
        return False


INIT = (f"{NO_INIT} or a number above 0", _is_init)


@dataclasses.dataclass(frozen=True)
class Q8BertConfig(TeacherCacheConfig, TrainConfig):
    """run_q8bert_train.py: a BERT or a task student -> the same trained to work in 8 bits."""

    load_ckpt_path: str = flag("", "model to quantize: a directory, or a .ckpt described by STUDENT_NET")
    load_teacher_ckpt_path: str = flag(
        "", "fine-tuned teacher to distil from: a directory, or a .ckpt described by TEACHER_NET; empty: none"
    )
    do_eval: bool = flag(True, "evaluate every eval_ckpt_step steps and after each epoch, keep the best")
    epoch_num: int = flag(
        3,
        "passes over the training rows (0: only set the ranges, post-training quantization)",
        alias="epoch_size",
        check=NOT_NEGATIVE,
    )
    batch_size: int = flag(16, "rows a training step", alias="train_batch_size", check=POSITIVE)
    save_ckpt_step: int = flag(
        50, "steps between resume checkpoints; one is also written at each epoch's end", check=POSITIVE
    )
    eval_ckpt_step: int = flag(50, "steps between evaluations", check=POSITIVE)
    do_quant: bool = flag(True, "false trains in float, all else equal")
    weight_bits: int = flag(8, "bits of the dense layers' weights (0: float)", check=BITS)
    embedding_bits: int = flag(8, "bits of the three embeddings (0: float)", check=BITS)
    activation_bits: int = flag(8, "bits of the dense layers' inputs (0: float)", check=BITS)
    per_channel: bool = flag(False, "a weight range for each output of a dense layer, not one for all")
    quantize_classifier: bool = flag(True, "quantize the classifier too")
    quantizer: str = flag("symmetric", "how weights are rounded, by its name in src/quant/quantizers.py")
    activation_init: str = flag(
        NO_INIT, "first value of input ranges not set yet; none: the maximum of the first batch", check=INIT
    )
    ema_decay: float = flag(0.9999, "decay of the moving average of the input ranges", check=SHARE)
    calibration_steps: int = flag(
        20, "batches whose plain maximum sets the input ranges before training", check=NOT_NEGATIVE
    )
    is_lgt_fit: bool = flag(False, "with a teacher: the label loss too (without one it is always on)")
    temperature: float = flag(1.0, "T of the soft cross-entropy to the teacher", check=POSITIVE)
    hidden_dropout_prob: float = flag(-1.0, "dropout of hidden states (-1: the model's own)", check=DROPOUT)
    attention_probs_dropout_prob: float = flag(
        -1.0, "dropout of attention (-1: the model's own)", check=DROPOUT
    )
    cls_dropout_prob: float = flag(-1.0, "dropout before the classifier (-1: the model's own)", check=DROPOUT)

    @property
    def quantization(self):
        """The Quantization that the flags ask for; None with do_quant false."""
        if not self.do_quant:
            return None
        names = [field.name for field in dataclasses.fields(Quantization)]
        return Quantization(**{name: getattr(self, name) for name in names})


# Your own values: they lose to the command line alone. Example: SETTINGS = {"weight_bits": 4}
SETTINGS = {}

# The networks in .ckpt files, which hold no config of their own (directories do).
TEACHER_NET = BertConfig()
STUDENT_NET = BertConfig()


def resolve(argv=None):
    """The command line of run_q8bert_train.py -> (TaskSpec, Resolved)."""
    resolved = parse(Q8BertConfig, argv, SETTINGS, prog=command_line("q8bert_train"))
    config, quantization = resolved.config, resolved.config.quantization
    if config.epoch_num == 0 and not quantization:
        raise UserError("--epoch_num 0 with --do_quant false: nothing to do")
    measured = config.calibration_steps or config.activation_init != NO_INIT or not config.activation_bits
    if config.epoch_num == 0 and not measured:
        raise UserError(
            "--epoch_num 0 only sets the input ranges: give --calibration_steps above 0, or --activation_init"
        )
    return task_for(to_dict(config)), resolved
