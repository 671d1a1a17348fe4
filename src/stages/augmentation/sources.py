"""The files that augmentation asks for other words: a masked language model, a teacher, GloVe."""

from functools import partial
from pathlib import Path

from ...config.fields import to_dict
from ...data.augmentation.glove import load_glove, stamp_of
from ...data.augmentation.masked_contexts import ContextForm
from ...data.dataloader import choose_buckets
from ...data.tokenization.features import check_length
from ...data.tokenization.tokenizer import model_tokenizer
from ...errors import UserError
from ...files import sha256
from ...infer.masked_lm import MaskedLMPredictor
from ...train.throughput import ThroughputMeter, masked_lm_flops
from ..model import load
from ..model.masked_lm import WORDS, has_mlm_head, load_masked_lm, read_masked_lm
from .candidates import SPARE, Candidates, WordPieces, allowed_pieces, neighbor_words
from .filter import TeacherFilter

# Flags that decide the output: with the contents of the files they are what a resumed run has to share.
DECIDING = (
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

MOST_LENGTHS = 12  # graphs built at most; padding is half of what a model computes with one


class AugmentResources:
    """Everything that an AugmentConfig names, read and checked; no graph is built yet."""

    def __init__(self, config, task):
        self.config, self.task = config, task
        _check(config, task)
        self.mlm = read_masked_lm(config.mlm_model) if config.mlm_model else None
        teacher = config.load_teacher_ckpt_path
        self.teacher = load.read_model(teacher, print) if teacher else None
        self.predicts = self.mlm is not None and has_mlm_head(self.mlm)
        if self.mlm is not None and not self.predicts:
            print(f"{self.mlm.source} has no masked language modelling head: neighbours alone")
        self.embedded = self.teacher or self.mlm
        self.meter = ThroughputMeter(print)
        tokenizer = model_tokenizer(self.mlm) if self.predicts else None
        self.pieces = WordPieces(tokenizer, self._form(tokenizer) if self.predicts else None)

    def fingerprint(self):
        """{name: value} of all that decides the output, but for the text."""
        files = {"mlm_model": self.mlm, "load_teacher_ckpt_path": self.teacher}
        values = {name: sha256(files[name].source) if files[name] else "" for name in files}
        glove = self.config.glove_file
        deciding = {name: to_dict(self.config)[name] for name in DECIDING}
        return {**values, "glove_file": stamp_of(glove) if glove else "", **deciding}

    def candidates(self, survey, device, spare_folder):
        """The Candidates of texts that `survey` has read; `spare_folder` may take a copy of GloVe."""
        config = self.config
        glove = load_glove(config.glove_file, spare_folder) if config.glove_file else None
        model = None
        if glove is None:
            model = model_tokenizer(self.embedded), self.embedded.arrays[WORDS]
        neighbors = neighbor_words(survey.words, config.candidates, glove, model)
        print(self._description(survey, neighbors))
        masked_words = self._masked_words(survey, device) if self.predicts and survey.lengths else None
        return Candidates(self.pieces, masked_words, neighbors, config.candidates)

    def filter(self, device):
        """The TeacherFilter, or None."""
        minimum = self.config.filter_with_teacher
        if not minimum:
            return None
        return TeacherFilter(self.teacher, self.task, device, minimum, self.config.batch_size, self.meter)

    def _form(self, tokenizer):
        if "[MASK]" not in tokenizer.vocab:
            raise UserError(f"the vocabulary of {self.config.mlm_model} has no [MASK]")
        longest = min(self.config.max_seq_length, self.mlm.config.max_position_embeddings)
        ids = tokenizer.cls_id, tokenizer.sep_id, tokenizer.vocab["[MASK]"]
        return ContextForm(*ids, longest, self.config.mlm_context == "pair")

    def _masked_words(self, survey, device):
        form, config = self.pieces.form, self.config
        buckets = choose_buckets(survey.context_lengths(), form.max_seq_length, MOST_LENGTHS, epochs=1)
        allowed = allowed_pieces(self.pieces.tokenizer.vocab, self.mlm.config.vocab_size)
        operations = partial(masked_lm_flops, self.mlm.config)
        graph = self.meter.compiled(load_masked_lm(self.mlm, device), "masked words", operations)

        def ask(input_ids, token_type_ids, attention_mask, places):
            self.meter.add(0, attention_mask.asnumpy().sum())
            return graph(input_ids, token_type_ids, attention_mask, places)

        return MaskedLMPredictor(ask, allowed, buckets, config.batch_size, config.candidates + SPARE)

    def _description(self, survey, neighbors):
        place = self.config.glove_file or f"the word embeddings of {self.embedded.source}"
        lines = [
            f"{len(survey.words):,} different words take neighbors in {place}; "
            f"{len(survey.words) - len(neighbors):,} of them have none and stay"
        ]
        if self.predicts:
            lines.insert(
                0, f"{sum(survey.lengths.values()):,} words of one piece are predicted by {self.mlm.source}"
            )
        return "\n".join(lines)


def _check(config, task):
    if not (config.mlm_model or config.glove_file or config.load_teacher_ckpt_path):
        raise UserError(
            "no source of other words: give --mlm_model, --glove_file or --load_teacher_ckpt_path"
        )
    if config.glove_file and not Path(config.glove_file).is_file():
        raise UserError(f"glove_file {config.glove_file} does not exist; give a text file of word vectors")
    check_length(config.max_seq_length)
    if not config.filter_with_teacher:
        return
    if not config.load_teacher_ckpt_path:
        raise UserError("--filter_with_teacher needs --load_teacher_ckpt_path: the teacher to ask")
    if task.output_mode == "regression":
        raise UserError(f"--filter_with_teacher compares class labels; {task.name} has scores")
