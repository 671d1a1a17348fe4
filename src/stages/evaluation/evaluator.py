"""A model over the evaluation splits of a task: every row once, GLUE's metric names."""

import json
from functools import partial

from ...data import splits as tables
from ...infer.predictor import LogitsCell, predict_logits
from ...metrics import task_metrics


class Evaluator:
    """Evaluates one model again and again on the evaluation records of a config.

    `logits` is the model: a function of one pass over a table (BucketDataLoader) to the logits of its
    rows, in the order of the task's labels. The first split has GLUE's plain names (eval_accuracy); a second
    one, MNLI's mismatched, the ending _mm.
    """

    def __init__(self, logits, bert_config, task, config, tokenizer_dir=None):
        self.logits, self.task, self.splits = logits, task, {}
        for split in tables.eval_splits(task, config.eval_data_dir):
            table = tables.read_split(config, config.eval_data_dir, split)
            tables.check_table(table, bert_config, task, config.eval_data_dir)
            tables.check_tokenizer(tokenizer_dir, table, config.eval_data_dir)
            self.splits[split] = tables.make_batches(table, config, config.eval_batch_size, shuffle=False)

    def metrics(self):
        """{eval_<metric>: value, eval_samples: rows} of the model as it is now."""
        values = {}
        for place, batches in enumerate(self.splits.values()):
            table, logits = batches.table, self.logits(batches)
            labels = table.labels
            if table.labels_by_token:
                logits, labels = table.by_row(logits), table.by_row(labels)
            found = task_metrics(self.task, logits, labels)
            values.update({name + ("_mm" if place else ""): value for name, value in found.items()})
        return values


def epoch_evaluation(run, network, bert_config, tokenizer_dir, wording=json.dumps):
    """The function that the loop calls after each epoch: evaluate, log, keep the best if `keep`.

    `wording` makes the line of the log from the metrics.
    """
    cell = LogitsCell(network)
    logits = partial(predict_logits, cell, graph=run.meter.graph(cell, "evaluation"))
    evaluator = Evaluator(logits, bert_config, run.task, run.config, tokenizer_dir)

    def evaluate(epoch, step, keep=True):
        metrics = {**evaluator.metrics(), "epoch": epoch, "step": step}
        run.logger.info(wording(metrics))
        if keep:
            run.keep_best(network, bert_config, metrics, tokenizer_dir)
        else:
            run.logger.log_metrics(metrics)

    return evaluate
