"""Teacher, student and records put together, and TinyBERT's two phases over them."""
from src.distill.layer_map import parse_layer_map
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_rows, prediction_rows
from src.errors import UserError
from src.model.layers import Dense
from src.model.loading import load_strict
from src.model.names import parameter_count
from src.stages import load, student, tables
from src.stages.evaluation import epoch_evaluation
from src.stages.training import PhasePlan, freeze, resumed_phase, train_phase

PROJECTION = "hidden_projection."


class Distillation:
    """One task distillation. Making it reads and checks everything and writes nothing."""

    def __init__(self, run, teacher_files, student_files, table):
        self.run, self.config, self.table = run, run.config, table
        task, say, records = run.task, run.journal.say, run.config.train_data_dir
        tables.check_tokenizer(teacher_files, table, records)
        for files in filter(None, (teacher_files, student_files)):
            tables.check_table(table, files.config, task, records)
        self.order = load.label_order(teacher_files.config.labels, task, teacher_files.source, say)
        teacher, self.teacher_config = load.classifier_from(teacher_files, task.labels, task, run.device, say)
        self.teacher = freeze(teacher)
        self.layer_map = self._layer_map(student_files)
        self.student, self.student_config = student.build(run, student_files, teacher_files, self.layer_map)
        self._check_heads()
        self.projection = self._projection(student_files)
        self.tokenizer_dir = teacher_files.tokenizer_dir
        self.batches = self._batches()
        self.evaluate = None
        if self.config.do_eval:
            self.evaluate = epoch_evaluation(run, self.student, self.student_config, self.tokenizer_dir)
        pairs = ", ".join(f"{m + 1}<-{layer}" for m, layer in enumerate(self.layer_map))
        say(
            f"teacher {parameter_count(teacher):,} parameters, student {parameter_count(self.student):,}; "
            f"layer map {pairs}"
        )

    def distil(self):
        """Both phases, from wherever the run stands; a student loaded after phase 1 goes on with phase 2."""
        run, config = self.run, self.config
        if not config.load_td1_ckpt_path and resumed_phase(run) < 2:
            title, epochs = "phase 1 (intermediate layers)", config.td_phase1_epoch_size
            evaluate = self.evaluate if config.phase1_eval else None
            plan = PhasePlan(1, title, epochs, config.learning_rate)
            train_phase(run, plan, self._intermediate(), self.batches, evaluate)
            run.write_model("phase1", self.student, self.student_config, self.tokenizer_dir)
        title, epochs = "phase 2 (prediction layer)", config.td_phase2_epoch_size
        plan = PhasePlan(2, title, epochs, config.phase2_learning_rate)
        train_phase(run, plan, self._prediction(), self.batches, self.evaluate)
        run.write_model("last", self.student, self.student_config, self.tokenizer_dir, run.last_metrics)

    def _batches(self):
        config = self.config
        # Each phase compiles its own graphs, so that neither has both phases' epochs to pay for them.
        passes = max(config.td_phase1_epoch_size, config.td_phase2_epoch_size)
        return tables.make_batches(self.table, config, config.batch_size, config.do_shuffle, passes)

    def _layer_map(self, student_files):
        teacher = self.teacher_config
        config = student_files.config if student_files else student.fresh_config(self.config, teacher)
        return parse_layer_map(self.config.layer_map, config.num_hidden_layers, teacher.num_hidden_layers)

    def _check_heads(self):
        ours, theirs = self.student_config.num_attention_heads, self.teacher_config.num_attention_heads
        if self.config.attention_weight and ours != theirs and not self.config.load_td1_ckpt_path:
            raise UserError(
                f"the student has {ours} heads, the teacher {theirs}: give the student as many "
                "(--num_attention_heads), or switch the attention loss off with --attention_weight 0"
            )

    def _intermediate(self):
        config = self.config
        rows = intermediate_rows(config.embedding_weight, config.hidden_weight, config.attention_weight)
        padded = config.loss_padding == "include"
        return DistillNetwork(
            self.student, rows, self.teacher, self.layer_map, self.projection, include_padding=padded
        )

    def _prediction(self):
        config, regression = self.config, self.run.task.output_mode == "regression"
        rows = prediction_rows(regression, config.label_weight, config.regression_target == "label")
        return DistillNetwork(
            self.student, rows, self.teacher, temperature=config.temperature, teacher_order=self.order
        )

    def _projection(self, student_files):
        """The dense layer to the teacher's width, the general student's own where it has one."""
        widths = self.student_config.hidden_size, self.teacher_config.hidden_size
        if widths[0] == widths[1]:
            return None
        projection = Dense(*widths, self.student_config)
        carried = {
            name.removeprefix(PROJECTION): array
            for name, array in (student_files.arrays if student_files else {}).items()
            if name.startswith(PROJECTION)
        }
        if carried:
            load_strict(projection, carried, f"{student_files.source} ({PROJECTION}*)")
            self.run.journal.say("the hidden projection of the general student is carried along")
        return projection
