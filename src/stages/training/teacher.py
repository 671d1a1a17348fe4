"""Whether a phase's teacher answers in every step, or once: the choice and the CachedTeacher."""

import dataclasses
import shutil
from functools import cached_property, partial
from pathlib import Path

from ...config.bert_config import BertConfig
from ...config.distill_config import FOLDER
from ...distill.cached_teacher import CachedTeacher, TeacherForward
from ...distill.network import TEACHER_FEATURES
from ...distill.teacher_cache import Layout, TeacherCache, dataset_hash, hash_arrays
from ...model.state_dict import weight_arrays
from ...train.throughput import depth_of, forward_flops
from ...train.trainer import phase_steps

GB = 1e9
# Fields of a teacher's config that change nothing in what it says.
SILENT = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "initializer_range",
    "label_separator",
)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A frozen teacher, its config and file; `later`: features that a later phase asks of the same rows."""

    network: object
    config: BertConfig
    source: Path
    later: tuple = ()

    @cached_property
    def digest(self):
        """SHA-256 over its weights, which every cache of it has in its key."""
        return hash_arrays(weight_arrays(self.network))


def attach_teacher(run, plan, batches, rows, teacher, layer_map=()):
    """(network, lesson): the teacher's network for a DistillNetwork over `rows`, or a CachedTeacher.

    Exactly one of them is None; both where no row asks for a teacher. The estimate and the choice are said.
    """
    features = [row.feature for row in rows if row.feature in TEACHER_FEATURES]
    if not features or not phase_steps(plan.epochs, run.config.train_steps, batches.steps_per_epoch):
        return (teacher.network if features else None), None
    config = run.config
    if config.teacher_cache == "off" or (config.teacher_cache == "logits" and features != ["logits"]):
        return teacher.network, None
    if getattr(config, "loss_padding", "exclude") == "include" and features != ["logits"]:
        run.logger.info("teacher cache: --loss_padding include needs the padding, which is not kept: off")
        return teacher.network, None
    cache = cache_of(run, batches.table, features, teacher, layer_map)
    if not _is_worth_it(run, plan, batches, cache):
        return teacher.network, None
    later = [feature for feature in teacher.later if feature not in features]
    aside = cache_of(run, batches.table, later, teacher, layer_map) if later else None
    features += later
    answering = TeacherForward(teacher.network, features, layer_map).set_train(False)
    operations = partial(forward_flops, teacher.config, layers=depth_of(features, layer_map))
    answering = run.meter.graph(answering, "teacher", operations)
    return None, CachedTeacher(answering, cache, _agreed(run), run.ranks.is_main, run.logger.info, aside)


def cache_of(run, table, features, teacher, layer_map):
    """The TeacherCache of what `features` ask of the teacher over a table, whether it is there or not."""
    states = ([0] if "embedding" in features else []) + (list(layer_map) if "hidden" in features else [])
    scores = list(layer_map) if "attention" in features else []
    config = teacher.config
    logits = max(len(config.labels), 1) if "logits" in features else 0
    heads, by_token = config.num_attention_heads, config.by_token and bool(logits)
    layout = Layout(len(states), config.hidden_size, len(scores), heads, logits, by_token)
    described = {name: value for name, value in dataclasses.asdict(config).items() if name not in SILENT}
    facts = {
        "teacher": teacher.digest,
        "config": described,
        "records": dataset_hash(table),
        "max_seq_length": table.max_seq_length,
        "states": states,
        "scores": scores,
        "logits": logits,
        "matmul_precision": run.config.matmul_precision,
    }
    kept = ", ".join(
        f"{name} {'/'.join(map(str, of))}" for name, of in (("states", states), ("scores", scores)) if of
    )
    notes = {"of": kept or "logits", "teacher": str(teacher.source)}
    root = run.config.teacher_cache_dir or run.output_dir.parent / FOLDER
    return TeacherCache(root, facts, layout, table.lengths, notes)


def _agreed(run):
    """Rank 0's wish as all ranks' decision: what a disk holds may look otherwise a moment later."""
    agree = run.loop.agree
    return bool if agree is None else lambda wish: agree(run.ranks.is_main and bool(wish))


def _is_worth_it(run, plan, batches, cache):
    """Whether to use the cache: it is there, or will be whole after an epoch and has room. Said aloud."""
    agreed, log, config = _agreed(run), run.logger.info, run.config
    title = f"teacher cache of {plan.title}"
    if agreed(cache.is_complete()):
        log(f"{title}: {cache.folder} is read, {cache.bytes / GB:.3g} GB; the teacher has nothing to do")
        return True
    free = _free_bytes(cache.folder.parent)
    estimate = f"{len(cache.lengths)} rows, {cache.bytes / GB:.3g} GB, {free / GB:.3g} GB of disk free"
    total = phase_steps(plan.epochs, config.train_steps, batches.steps_per_epoch)
    against = None
    if total < batches.steps_per_epoch:
        against = "the phase ends before every row was read once"
    elif cache.bytes > config.teacher_cache_limit_gb * GB:
        against = f"more than --teacher_cache_limit_gb {config.teacher_cache_limit_gb:g}"
    elif cache.bytes > free / (4 if config.teacher_cache == "auto" else 1):
        against = "more than a quarter of the free disk" if config.teacher_cache == "auto" else "no room"
    if not agreed(against is None):
        log(f"{title}: {estimate}; off ({against or 'as rank 0 says'}), the teacher answers in every step")
        return False
    log(f"{title}: {estimate}; written to {cache.folder} in the first epoch, read in every later one")
    return True


def _free_bytes(folder):
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
