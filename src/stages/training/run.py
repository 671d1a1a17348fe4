"""The start and end of every training stage: output folder, log, config, device, best/ and last/."""

import json
import logging
import os
import shlex
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, cast

import mindspore as ms
import numpy as np
from mindspore import nn

from ...commands import restart_command
from ...config.bert_config import BertConfig
from ...config.cli import Resolved
from ...config.distill_config import cache_root
from ...config.fields import BOOLEAN, to_dict
from ...data.tokenization.tokenizer import set_max_length
from ...distill.teacher_cache import caches_of, delete_abandoned, delete_caches, megabytes
from ...errors import UserError
from ...files import restore_replaced, write_json
from ...json_reader import read_object
from ...metrics import best_of, short_name
from ...model.state_dict import weight_arrays
from ...output_dir import add_to_marker, check_output_dir, fresh_output_dir, remove_leftovers_in
from ...tasks import TaskSpec
from ...train.checkpoint import Checkpoints
from ...train.curves.loss_plot import LOG_FILE, plot_losses, read_log
from ...train.distributed import all_reduce_sum, any_rank, join_ranks
from ...train.logger import RunLogger
from ...train.throughput import ThroughputMeter
from ...train.trainer import Trainer
from ...weights.families import own_arrays
from ...weights.huggingface import write_folder, write_weights
from ..model.device import setup_device
from .run_folder import CONFIG_FILE, MEASURED, WRITTEN, check_same_config, inputs_of, measured_in, refuse_busy

LOG = logging.getLogger(__name__)


class Run:
    """One run of a training stage. Nothing is written before `open`: a refused run leaves no trace."""

    log_name = "outputs"

    def __init__(self, stage: str, task: TaskSpec | None, resolved: Resolved) -> None:
        self.config, self.resolved = resolved.config, resolved
        self.task = cast(TaskSpec, task)  # None in general distillation, which has no task
        title = f"{stage} {task.name}" if task else stage
        self.output_dir = Path(self.config.output_dir or f"output/{title.replace(' ', '_')}")
        self.resumed = self.config.resume
        # What this run chooses by measuring the machine; a resumed run keeps the choices, and so do the seeds
        # of one command.
        self.measured: dict[str, str] = json.loads(os.environ.get(MEASURED, "{}"))
        refuse_busy(self.output_dir)
        if self.resumed:
            check_same_config(self.output_dir, self.config)
            self.measured = measured_in(self.output_dir)
        else:
            check_output_dir(self.output_dir, self.config.overwrite_output_dir, inputs_of(self.config))
        ms.set_seed(self.config.seed)
        self.logger = RunLogger()
        self.device = setup_device(self.config, self.logger.info)
        self.ranks = join_ranks(self.config)
        self.logger.info(f"{title} on {self.device.target}, compute_type {self.device.compute_type}")
        if table := resolved.table(self.config.verbose):
            heading = "all settings" if self.config.verbose else "settings other than the defaults"
            self.logger.info(f"{heading}:\n{table}")
        self.checkpoints = Checkpoints(self.output_dir, self.config.max_ckpt_num, self.ranks.is_main)
        # (position, path) of the checkpoint from which a resumed run continues
        self.checkpoint = self.checkpoints.last() if self.resumed else None
        several = any_rank(self.ranks)
        self.trainer = Trainer(resume_command(), several)
        # Whether a flag is true on any rank; every rank has to call it.
        self.any_rank: Callable[[bool], bool] = several or bool
        self.meter = ThroughputMeter(self.logger.info, self.device.matmul_rate)
        self.best_value: float | None = self._read_best()
        # Of the best metric, at 95 %; checkpoints of earlier versions lack it.
        position = self.checkpoint[0] if self.checkpoint else {}
        self.best_interval: Sequence[float] | None = position.get("interval")
        self.last_metrics: dict[str, Any] | None = None

    def broadcast(self, decision: Any) -> bool:
        """Rank 0's decision as that of all ranks: the state of a disk may differ between them, and change."""
        return self.any_rank(self.ranks.is_main and bool(decision))

    def open(self) -> None:
        """Create the output folder and open its log, once all inputs are read and checked."""
        if not self.ranks.is_main:
            return
        refuse_busy(self.output_dir)  # another run may have begun while this one read its inputs
        if self.resumed:
            remove_leftovers_in(self.output_dir, WRITTEN)
            add_to_marker(self.output_dir, WRITTEN)  # an earlier version may have written other files
        else:
            overwrite, inputs = self.config.overwrite_output_dir, inputs_of(self.config)
            fresh_output_dir(self.output_dir, overwrite, inputs, WRITTEN)
        if hasattr(self.config, "teacher_cache_dir"):
            delete_abandoned(cache_root(self.config, self.output_dir))
        # Written first: a run killed before it could not be resumed.
        self._write_config()
        position, path = self.checkpoint or ({"phase": 0, "step": 0}, None)
        self.logger.open(self.output_dir, (position["phase"], position["step"]) if self.resumed else None)
        if self.resumed:
            self.logger.info(
                f"resumed from {path} (step {position['step']})"
                if path
                else f"resumed: {self.output_dir} holds no checkpoint yet, starting over"
            )

    def _write_config(self) -> None:
        values = {"values": to_dict(self.config), "origins": self.resolved.origins}
        write_json(self.output_dir / CONFIG_FILE, {**values, "measured": self.measured})

    def record(self, name: str, choice: str) -> None:
        """Add a choice to what a run that resumes this one keeps."""
        self.measured[name] = choice
        if self.ranks.is_main:
            self._write_config()

    def _read_best(self) -> float | None:
        """The best metric at the checkpoint of a resumed run.

        best/ itself may be from a later evaluation, which will be repeated, or it was deleted.
        """
        file = self.output_dir / "best" / "metrics.json"
        restore_replaced(file.parent)
        if not (self.checkpoint and self.task and file.is_file()):
            return None
        position, _ = self.checkpoint
        # Checkpoints of earlier versions lack it.
        return position["best"] if "best" in position else best_of(self.task, read_object(file, {str: Real}))

    def best(self) -> dict[str, Any]:
        """The best metric and its interval, as checkpoints store them."""
        return {"best": self.best_value, "interval": self.best_interval}

    def keep_best(
        self,
        network: nn.Cell,
        bert_config: BertConfig,
        metrics: dict[str, Any],
        tokenizer_dir: Path | None,
    ) -> bool:
        """Write best/ where `metrics` improve on it strictly, and log `The best acc is ...`.

        Returns whether they do.
        """
        self.last_metrics, value = metrics, best_of(self.task, metrics)
        self.logger.log_metrics(metrics)
        improved = self.best_value is None or value > self.best_value
        if improved:
            self.best_value = value
            self.write_model("best", network, bert_config, tokenizer_dir, metrics)
        self.logger.info(f"The best {short_name(self.task)} is {self.best_value:.6f}")
        return improved

    def write_model(
        self,
        name: str,
        network: nn.Cell,
        bert_config: BertConfig,
        tokenizer_dir: Path | None,
        metrics: dict[str, Any] | None = None,
        extra: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Write the network as the model folder `name`/ of this run, in the layout of transformers.

        `extra` {name: array} are further weights (the hidden projection of a general student).
        """
        if not self.ranks.is_main:
            return

        def write(folder: Path) -> None:
            arrays = own_arrays({**weight_arrays(network), **(extra or {})}, bert_config)
            write_weights(folder / "model.safetensors", arrays)
            set_max_length(folder, bert_config.max_position_embeddings, tokenizer_dir)

        files = {"metrics.json": metrics} if metrics else None
        write_folder(self.output_dir / name, write, bert_config, tokenizer_dir, files)

    def finish(self) -> None:
        """Log the last lines of the run and plot its loss curves."""
        for line in self.meter.lines(all_reduce_sum(self.ranks)):
            self.logger.info(line)
        for name in ("best", "last"):
            if (self.output_dir / name).is_dir():
                self.logger.info(f"{name} model: {self.output_dir / name}")
        if hasattr(self.config, "keep_teacher_cache") and self.ranks.is_main:
            self._settle_caches()
        self.logger.close()
        log = self.output_dir / LOG_FILE
        if self.ranks.is_main and log.is_file():
            try:
                plot_losses({"": read_log(log)}, self.output_dir / "losses.png")
            except (OSError, UserError) as error:
                LOG.warning("the losses are not plotted: %s", error)

    def _settle_caches(self) -> None:
        """Delete the teacher caches that this run wrote, or log that they stay."""
        root = cache_root(self.config, self.output_dir)
        written = caches_of(root, self.output_dir)
        if written and self.config.keep_teacher_cache:
            self.logger.info(f"teacher cache: {len(written)} kept in {root}")
        elif written:
            try:
                freed = megabytes(delete_caches(written))
                self.logger.info(f"teacher cache: {freed} deleted (--keep_teacher_cache keeps it)")
            except OSError as error:
                LOG.warning("a teacher cache in %s cannot be deleted: %s", root, error)


def resume_command() -> str:
    """The command line that started this process, or its launcher, with --resume added."""
    kept: list[str] = []
    skip_value = False
    launcher = os.environ.get("RESUME_COMMAND")
    for argument in shlex.split(launcher) if launcher else restart_command():
        if skip_value and argument.lower() in BOOLEAN:
            skip_value = False
            continue
        skip_value = argument in ("--overwrite_output_dir", "--resume")
        if not argument.startswith(("--overwrite_output_dir", "--resume")):
            kept.append(argument)
    return shlex.join([*kept, "--resume"])
