"""Quantization-aware training (Q8BERT). SETTINGS and the two networks are yours to edit."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from ..commands import command_line
from ..errors import UserError
from ..tasks import TaskSpec
from .bert_config import BertConfig
from .cli import Resolved, parse
from .distill_config import TeacherConfig
from .fields import DROPOUT, NOT_NEGATIVE, POSITIVE, SHARE, Check, flag, to_dict
from .migration.zoo_recipe import RecipeConfig, q8bert_recipe, with_networks
from .quantization import BITS, Quantization
from .task.from_records import task_for
from .train_config import TrainConfig

NO_INIT = "none"
QUANTIZERS = ("symmetric",)  # of src/quant/quantizers.py, which imports MindSpore


def _is_init(text: str) -> bool:
    try:
        return text == NO_INIT or 0 < float(text) < float("inf")
    except ValueError:
        return False


INIT: Check = (f"{NO_INIT} or a number above 0", _is_init)


@dataclasses.dataclass(frozen=True)
class Q8BertConfig(RecipeConfig, TeacherConfig, TrainConfig):
    """Quantize a BERT or a task student to 8 bits, by quantization-aware training or by calibration only."""

    GROUP: ClassVar[str] = "quantization"

    load_ckpt_path: str = flag(
        "",
        "model to quantize: a model folder, or a .ckpt described by STUDENT_NET",
        group="model",
        main=True,
    )
    load_teacher_ckpt_path: str = flag(
        "",
        "fine-tuned teacher for distillation: a model folder, or a .ckpt described by TEACHER_NET "
        "(empty: none)",
        group="model",
    )
    do_eval: bool = flag(
        True,
        "evaluate every eval_ckpt_step steps and after each epoch; keep the best model",
        group="optimization",
    )
    epoch_num: int = flag(
        3,
        "number of epochs (0: calibrate the activation ranges only, post-training quantization)",
        alias="epoch_size",
        check=NOT_NEGATIVE,
        group="optimization",
    )
    batch_size: int = flag(16, "training batch size", alias="train_batch_size", check=POSITIVE)
    save_ckpt_step: int = flag(
        50, "steps between checkpoints; one is also written after each epoch", check=POSITIVE
    )
    eval_ckpt_step: int = flag(50, "steps between evaluations", check=POSITIVE, group="optimization")
    do_quant: bool = flag(True, "false: train the float model, all else equal")
    weight_bits: int = flag(8, "bits of dense-layer weights (0: float)", check=BITS)
    embedding_bits: int = flag(8, "bits of the three embeddings (0: float)", check=BITS)
    activation_bits: int = flag(8, "bits of dense-layer inputs (0: float)", check=BITS)
    per_channel: bool = flag(False, "per-channel instead of per-tensor weight ranges in dense layers")
    quantize_classifier: bool = flag(True, "quantize the classifier too")
    quantizer: str = flag("symmetric", "weight quantizer, by its name in src/quant/quantizers.py", QUANTIZERS)
    float_layers: tuple[str, ...] = flag(
        (),
        "dense layers and embeddings that stay in float32, by name "
        "(bert.encoder.layer.0.output.dense bert.pooler.dense)",
    )
    activation_init: str = flag(
        NO_INIT,
        "initial activation range where the checkpoint has none; none: maximum of the first batch",
        check=INIT,
    )
    ema_decay: float = flag(0.9999, "decay of the moving average of activation ranges", check=SHARE)
    calibration_steps: int = flag(
        20, "batches that calibrate the activation ranges before training", check=NOT_NEGATIVE
    )
    is_lgt_fit: bool = flag(
        False, "with a teacher: add the label loss (always on without one)", group="distillation"
    )
    temperature: float = flag(
        1.0, "temperature of the soft cross-entropy to the teacher", check=POSITIVE, group="distillation"
    )
    hidden_dropout_prob: float = flag(
        -1.0, "dropout of hidden states (-1: as in the model)", check=DROPOUT, group="model"
    )
    attention_probs_dropout_prob: float = flag(
        -1.0, "attention dropout (-1: as in the model)", check=DROPOUT, group="model"
    )
    cls_dropout_prob: float = flag(
        -1.0, "dropout before the classifier (-1: as in the model)", check=DROPOUT, group="model"
    )

    @property
    def quantization(self) -> Quantization | None:
        """The Quantization specified by the flags; None with do_quant false."""
        if not self.do_quant:
            return None
        own = ("dynamic", "static")  # of exported files
        names = [field.name for field in dataclasses.fields(Quantization) if field.name not in own]
        return Quantization(**{name: getattr(self, name) for name in names})


# Your own values: the command line overrides them. Example: SETTINGS = {"weight_bits": 4}
SETTINGS: dict[str, Any] = {}

# The networks of .ckpt files, which have no config of their own (model folders do).
TEACHER_NET = BertConfig()
STUDENT_NET = BertConfig()


def resolve(argv: Sequence[str] | None = None) -> tuple[TaskSpec, Resolved[Q8BertConfig]]:
    """The task and the config of a run_q8bert_train.py command line."""
    resolved = parse(Q8BertConfig, argv, SETTINGS, q8bert_recipe, prog=command_line("q8bert_train"))
    config, quantization = resolved.config, resolved.config.quantization
    if config.epoch_num == 0 and not quantization:
        raise UserError("--epoch_num 0 with --do_quant false: nothing to do")
    calibrated = config.calibration_steps or config.activation_init != NO_INIT or not config.activation_bits
    if config.epoch_num == 0 and not calibrated:
        raise UserError(
            "--epoch_num 0 only calibrates the activation ranges: give --calibration_steps above 0, or "
            "--activation_init"
        )
    task = task_for(to_dict(config))
    return task, with_networks(resolved, task, teacher=TEACHER_NET, student=STUDENT_NET)
