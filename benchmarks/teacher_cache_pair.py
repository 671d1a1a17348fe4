"""The two ways to learn from a teacher that bench_teacher_cache times: in every step, and from its cache."""

import numpy as np
from mindspore import Tensor

from src.config.bert_config import BertConfig, preset
from src.config.train_config import DeviceConfig, TrainConfig
from src.data.dataset import Batches, choose_buckets
from src.data.table import RecordTable
from src.distill.lesson import AnsweringTeacher, Lesson
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_rows
from src.distill.teacher_cache import Layout, TeacherCache
from src.kernels.layers import bind_dropout
from src.model.bert import BertBody
from src.model.layers import Dense
from src.stages.kernels import equip_device
from src.stages.training import freeze
from src.train.feed import COLUMNS, fed_steps
from src.train.optimizer import adam_weight_decay, polynomial_schedule
from src.train.step import LossScale, TrainStep

ROW_LENGTH, SHORTEST, MEAN = 64, 4, 13.0  # tokens


class Pair:
    """A teacher, a train step that holds it, one that does not, and the Lesson of the second.

    `flags` are those of bench_teacher_cache, `folder` is for the cache.
    """

    def __init__(self, flags, folder):
        self.device = equip_device(DeviceConfig(), print)
        self.config = BertConfig(
            hidden_size=flags.hidden,
            num_hidden_layers=flags.layers,
            num_attention_heads=12,
            intermediate_size=4 * flags.hidden,
        )
        table = random_table(flags.rows, self.config.vocab_size)
        buckets = choose_buckets(table.lengths, ROW_LENGTH, flags.buckets)
        self.batches = Batches(table, flags.batch_size, buckets, shuffle=True, seed=1)
        layer_map = tuple(flags.layers // 3 * m for m in (1, 2, 3))
        teacher = freeze(BertBody(self.config, self.device.layers))
        features = ("embedding", "hidden", "attention")
        answering = AnsweringTeacher(teacher, features, layer_map).set_train(False)
        layout = Layout(4, flags.hidden, 3, 12)
        self.cache = TeacherCache(folder, {}, layout, table.lengths)
        self.lesson = Lesson(answering, self.cache, say=lambda text: None)
        self.holding, self.learning = (self._step(inside, layer_map) for inside in (teacher, None))
        self.waited, self._epoch = 0.0, 0

    @property
    def described(self):
        """One line: rows, tokens, buckets, teacher, size of the cache."""
        tokens, steps = self.batches.table.lengths.mean(), self.batches.steps_per_epoch
        return (
            f"{self.batches.table.rows} rows of {tokens:.1f} tokens, lengths {self.batches.buckets}, {steps} "
            f"steps an epoch; teacher {self.config.num_hidden_layers} x {self.config.hidden_size}, cache "
            f"{self.cache.bytes / 1e6:.1f} MB"
        )

    def compile(self):
        """Run each graph at each length, eight times: the first calls are slower."""
        seen = {batch.input_ids.shape: batch for batch in self.batches.epoch(0)}
        for batch in seen.values():
            tensors = [Tensor(getattr(batch, name)) for name in COLUMNS]
            for _ in range(8):
                answers = self.lesson.teacher(*tensors[:3])
                self.learning(*tensors, *answers)[0].asnumpy()
                self.holding(*tensors)[0].asnumpy()

    def without(self):
        """An epoch with the teacher in every step."""
        self._run(self.holding, None)

    def writing(self):
        """The epoch that writes the cache."""
        assert not self.cache.is_complete()
        self._run(self.learning, self.lesson)

    def reading(self):
        """An epoch that reads the cache."""
        self._run(self.learning, self.lesson)
        assert self.lesson.reads
        self.waited = self.lesson.waited

    def _run(self, step, lesson):
        self._epoch += 1
        if lesson:
            lesson.begin(whole=True)
        fed = fed_steps(step, self.batches, self._epoch, 0, self.batches.steps_per_epoch, lesson=lesson)
        for done in fed:
            done.result[0].asnumpy()
        if lesson:
            lesson.end(whole=True)

    def _step(self, teacher, layer_map):
        config = preset("3L-312")
        rows = intermediate_rows(1.0, 1.0, 1.0, **self.device.losses)
        projection = Dense(config.hidden_size, self.config.hidden_size, config)
        student = BertBody(config, self.device.layers)
        network = DistillNetwork(student, rows, teacher, layer_map, projection)
        schedule = polynomial_schedule(100_000, 5e-5, 0.0, 1.0, 0.1)
        weights = network.trainable_params()
        optimizer = adam_weight_decay(weights, schedule, TrainConfig(), self.device.optimizer)
        bind_dropout(network, optimizer.global_step, 1)
        network.set_train(True)
        if teacher:
            teacher.set_train(False)
        scale = LossScale(65536.0, 2.0, 50)
        return TrainStep(network, optimizer, scale, 1.0, squared_norm=self.device.squared_norm)


def random_table(rows, vocabulary):
    """A RecordTable of random tokens, its lengths drawn from a geometric distribution."""
    draw = np.random.default_rng(0)
    lengths = SHORTEST - 1 + draw.geometric(1 / (MEAN - SHORTEST + 1), rows)
    lengths = np.minimum(lengths, ROW_LENGTH)
    tokens = draw.integers(1000, vocabulary, lengths.sum())
    return RecordTable.from_flat(tokens, np.zeros_like(tokens), lengths, None, ROW_LENGTH)
