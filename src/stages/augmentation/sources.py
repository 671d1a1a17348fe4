"""Resources of augmentation: masked language model, teacher and GloVe vectors."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor

from ...config.fields import not_default, to_dict
from ...data.augmentation.glove import file_stamp, load_glove
from ...data.augmentation.masked_contexts import ContextForm
from ...data.augmentation.neighbors import neighbors_in
from ...data.dataloader import choose_buckets
from ...data.tokenization.features import check_length
from ...data.tokenization.tokenizer import TextTokenizer, model_tokenizer
from ...digests import DIGEST, sha256, with_digest
from ...errors import UserError
from ...files import is_file
from ...infer.masked_lm import MaskedLMPredictor, bucketed, packed
from ...model.masked_lm import WordLogits
from ...tasks import TaskSpec
from ...train.throughput import ThroughputMeter, masked_lm_flops
from ...weights.huggingface import tokenizer_files
from ..model import load
from ..model.device import DeviceSetup
from ..model.masked_lm import WORDS, has_mlm_head, load_masked_lm, read_masked_lm
from .candidates import SPARE, Candidates, WordPieces, WordStats, allowed_pieces, neighbor_words
from .filter import TeacherFilter

if TYPE_CHECKING:
    from ...tools.augment import AugmentConfig

# Flags that determine the output, together with the files: a resumed run must have the same.
OUTPUT_FLAGS = (
    "task_name",
    "copies",
    "probability",
    "candidates",
    "mlm_context",
    "max_seq_length",
    "seed",
    "filter_with_teacher",
    "max_rows",
    "on_bad_row",
    "dtype",
    "compute_type",
    "kernels",
    "matmul_precision",
)

MAX_BUCKETS = 12  # compiled graphs; with a single one half of the computation is padding
SLACK = 1.02  # tokens of a packed batch, in mean lengths of its sentences: few batches have the exact mean


class AugmentResources:
    """Models and files of an AugmentConfig, loaded and validated; graphs are compiled later."""

    def __init__(self, config: "AugmentConfig", task: TaskSpec) -> None:
        self.config, self.task = config, task
        _check(config, task)
        self.mlm = None
        ignored = config.ignore_unexpected
        if config.mlm_model:
            self.mlm = read_masked_lm(config.mlm_model, print, ignored)
        self.predicts = self.mlm is not None and has_mlm_head(self.mlm)
        _refuse_unused(config, self.predicts)
        teacher = config.load_teacher_ckpt_path
        self.teacher = None
        if teacher:
            self.teacher = load.read_model(teacher, print, ignore_unexpected=ignored)
        if self.mlm is not None and not self.predicts:
            print(f"{self.mlm.source} has no masked language modeling head: using nearest neighbors only")
        self.embedded = self.teacher or self.mlm
        self.meter = ThroughputMeter(print)
        self.pieces = WordPieces(None)
        if self.mlm is not None and self.predicts:
            tokenizer = model_tokenizer(self.mlm)
            length = min(config.max_seq_length, self.mlm.config.max_position_embeddings)
            self.pieces = WordPieces(tokenizer, self._context_form(tokenizer, length))

    def fingerprint(self) -> dict:
        """{name: value} of everything that determines the output, except the text."""
        files = {"mlm_model": self.mlm, "load_teacher_ckpt_path": self.teacher}
        hashes = {name: _digest(model) if model else "" for name, model in files.items()}
        glove = self.config.glove_file
        flags = {name: to_dict(self.config)[name] for name in OUTPUT_FLAGS}
        return {**hashes, "glove_file": file_stamp(glove) if glove else "", **flags}

    def candidates(self, stats: WordStats, device: DeviceSetup | None, fallback_folder: Path) -> Candidates:
        """Candidates for the texts of `stats`; `fallback_folder` is for the binary copy of GloVe."""
        config = self.config
        if config.glove_file or self.embedded is None:
            source, glove = config.glove_file, load_glove(config.glove_file, fallback_folder)
            neighbors = neighbors_in(glove, stats.words, config.candidates)
        else:
            source = f"the word embeddings of {self.embedded.source}"
            tokenizer, embeddings = model_tokenizer(self.embedded), self.embedded.arrays[WORDS]
            neighbors = neighbor_words(stats.words, config.candidates, tokenizer, embeddings)
        if self.mlm is not None and self.predicts:
            print(f"{sum(stats.lengths.values()):,} words of one piece are predicted by {self.mlm.source}")
        print(
            f"{len(stats.words):,} distinct words are looked up in {source}; "
            f"{len(stats.words) - len(neighbors):,} have no neighbors and are not replaced"
        )
        return Candidates(self.pieces, self._masked_words(stats, device), neighbors, config.candidates)

    def filter(self, device: DeviceSetup | None) -> TeacherFilter | None:
        """TeacherFilter, None if not configured."""
        minimum = self.config.filter_with_teacher
        if not minimum or self.teacher is None or device is None:
            return None
        return TeacherFilter(self.teacher, self.task, device, minimum, self.config.batch_size, self.meter)

    def _context_form(self, tokenizer: TextTokenizer, length: int) -> ContextForm:
        if tokenizer.mask_id is None:
            raise UserError(f"the vocabulary of {self.config.mlm_model} has no [MASK] or other mask token")
        template = tokenizer.pair if self.config.mlm_context == "pair" else tokenizer.single
        return ContextForm(template, tokenizer.mask_id, length)

    def _masked_words(self, stats: WordStats, device: DeviceSetup | None) -> MaskedLMPredictor | None:
        mlm, form, tokenizer = self.mlm, self.pieces.form, self.pieces.tokenizer
        if mlm is None or form is None or tokenizer is None or device is None or not stats.lengths:
            return None
        config = self.config
        words = np.flatnonzero(allowed_pieces(tokenizer.words, mlm.config.vocab_size))
        network, lengths = WordLogits(load_masked_lm(mlm, device), words), stats.context_lengths()
        if network.can_pack:
            mean = int(SLACK * config.batch_size * lengths.mean())
            batching = packed(max(mean, lengths.max()), config.batch_size)
        else:
            buckets = choose_buckets(lengths, form.max_seq_length, MAX_BUCKETS, epochs=1)
            batching = bucketed(buckets, config.batch_size)
        graph = self.meter.compiled(network, "masked words")

        def forward(input_ids: Tensor, types: Tensor, sequences: Tensor, *positions: Tensor) -> Tensor:
            self.meter.add(0, np.count_nonzero(sequences.asnumpy()))
            tokens, sentences = input_ids.shape[0], positions[-1].shape[0]
            flops = masked_lm_flops(mlm.config, tokens / sentences, len(words), network.can_pack)
            self.meter.flops += sentences * flops
            return graph(input_ids, types, sequences, *positions)

        count = config.candidates + SPARE
        return MaskedLMPredictor(forward, words, batching, config.batch_size, count)


def _digest(model: load.ModelFiles) -> str:
    """A hash of the config, the weights and the tokenizer of a model."""
    files = (model.source, *tokenizer_files(model.source.parent))
    digests = {file.name: sha256(file) for file in files}
    return with_digest({"config": model.config.to_json_dict(), **digests})[DIGEST]


def _check(config: "AugmentConfig", task: TaskSpec) -> None:
    if not (config.mlm_model or config.glove_file or config.load_teacher_ckpt_path):
        raise UserError("no source of candidates: give --mlm_model, --glove_file or --load_teacher_ckpt_path")
    if config.glove_file and not is_file(config.glove_file):
        raise UserError(f"glove_file {config.glove_file} does not exist; give a text file of word vectors")
    check_length(config.max_seq_length)
    if not config.filter_with_teacher:
        return
    if not config.load_teacher_ckpt_path:
        raise UserError("--filter_with_teacher needs --load_teacher_ckpt_path")
    if task.output_mode == "regression":
        raise UserError(f"--filter_with_teacher compares class labels; {task.name} has scores")


def _refuse_unused(config: "AugmentConfig", predicts: bool) -> None:
    """Raise UserError for a flag that differs from its default but has no effect; `predicts`: with an MLM."""
    filters, head = config.filter_with_teacher > 0, "an --mlm_model that has a masked language modeling head"
    uses = (
        ("mlm_context", predicts, head),
        ("max_seq_length", predicts, head),
        ("batch_size", predicts or filters, f"{head}, or --filter_with_teacher"),
        (
            "load_teacher_ckpt_path",
            filters or not config.glove_file,
            "--filter_with_teacher, since --glove_file gives the neighbors",
        ),
    )
    for name, is_used, needed in uses:
        if not is_used and not_default(config, [name]):
            raise UserError(f"--{name} has no effect without {needed}; remove it")
