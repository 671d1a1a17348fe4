"""Reports with made-up numbers, for the layout alone."""

import dataclasses

from src.stages.compress.report_data import (
    CandidateResult,
    ChangedRow,
    CommandRun,
    LabelRow,
    LeftOut,
    Limits,
    ModelFacts,
    ReportData,
    Rows,
    TaskFacts,
    Within,
)

LABELS = ["negative", "neutral", "positive"]
HOSTILE = (
    "<script>alert(1)</script> & \"quoted\" 'text' ]]> |pipe| `code` \u202eright to left\u202c \u2067 \x07"
)


def candidate(name: str, metric: float, difference: float, **fields: object) -> CandidateResult:
    """A measured candidate over 436 rows with an interval of 2 points on each side."""
    values = {
        "interval": [metric - 0.021, metric + 0.019],
        "difference": difference,
        "difference_interval": [difference - 0.011, difference + 0.012],
        "mcnemar_p": 0.4531,
        "changed_share": 0.0321,
        "agreement": 0.9679,
        "agreement_interval": [0.9467, 0.9823],
        "within": Within(quality=True, latency=True, size=True),
        "per_label": [
            LabelRow(label, 0.9111 - 0.01 * i, 0.8777 + 0.01 * i, 0.9222, 0.8888 - 0.01 * i, 140 + i)
            for i, label in enumerate(LABELS)
        ],
        "confusion": [[120, 12, 8], [9, 121, 11], [3, 14, 125]],
        **fields,
    }
    return CandidateResult(
        name, "distilled from the model, 8 bits", "int8", 6, 384, 1536, 30522, metric, **values
    )


def report(**changes: object) -> ReportData:
    """A report of five candidates, one of which failed."""
    model = candidate(
        "model", 0.9128, 0.0, latency_ms=12.34, latency_ratio=1.0, size_mb=90.87, size_ratio=1.0
    )
    model.difference, model.difference_interval, model.agreement = 0.0, [0.0, 0.0], 1.0
    int8 = candidate(
        "int8", 0.9106, -0.0023, latency_ms=4.567, latency_ratio=2.71, size_mb=22.91, size_ratio=3.966
    )
    half = candidate("half-layers-int8", 0.9037, -0.0092, latency_ms=2.345, latency_ratio=5.28, size_mb=17.53)
    half.size_ratio, half.recommended = 5.184, True
    half.minutes_planned, half.minutes_taken = 11.27, 12.68
    half.losses = {"phase 1": [8.213, 5.127, 4.017, 3.618], "phase 2": [0.4127, 0.0613, 0.0319]}
    third = candidate(
        "third-layers-int8", 0.8741, -0.0387, latency_ms=1.678, latency_ratio=7.36, size_mb=15.76
    )
    third.size_ratio, third.within = 5.766, Within(quality=False, latency=True, size=True)
    third.choose_difference = -0.0413
    failed = CandidateResult(
        "narrow", "pruned", "int8", 6, 192, 768, 8127, failed="the disk is full; free 310 MB"
    )
    values = {
        "verdict": "half-layers-int8 is 5.3 times as fast and loses 0.92 points. It holds all limits.",
        "status": "ok",
        "model": ModelFacts(
            "teacher/best",
            "model.safetensors",
            6,
            384,
            1536,
            30522,
            22713987,
            0.9128,
            [0.8918, 0.9318],
            12.34,
            90.87,
        ),
        "limits": Limits(2.0, 6.5, 25.0, None, 40.0, "latency", True, 1),
        "task": TaskFacts("reviews", "accuracy", "classification", LABELS, Rows(3219, 20417, 435, 436)),
        "machine": {"processor": "AMD EPYC", "packages": "numpy 1.26.4, onnxruntime 1.32.0"},
        "candidates": [model, int8, half, third, failed],
        "chosen": "half-layers-int8",
        "changed": [
            ChangedRow("a fine film", "positive", "positive", 0.8147, "negative", 0.9358),
            ChangedRow("not bad, not good", "neutral", "negative", 0.5512, "neutral", 0.7719),
        ],
        "left_out": [LeftOut("pruned-vocabulary-int8", "17 minutes more than the time budget leaves")],
        "warnings": ["The class neutral has 9 dev rows; its recall says little."],
        "commands": [CommandRun("export", "python -m src.tools.export --model_dir teacher/best", 8.34)],
        "hashes": {"train.csv": "ab" * 32},
        "seconds": 1234.5,
    }
    return ReportData(**{**values, **changes})


def regression_report():
    data = report(limits=Limits(None, None, None, None, 120.0, "size", False, 2), status="interrupted")
    data.task = dataclasses.replace(data.task, metric="pearson", output_mode="regression", labels=[])
    for candidate in data.candidates:
        candidate.per_label, candidate.confusion, candidate.mcnemar_p = [], [], None
    data.changed = [dataclasses.replace(row, before_p=None, after_p=None) for row in data.changed]
    return data


def unlabelled_report():
    data = report(limits=Limits(None, 5.0, None, 0.97, 30.0, "latency", True, 1), status="no_candidate")
    data.task = dataclasses.replace(data.task, metric="agreement")
    for candidate in data.candidates:
        candidate.difference = candidate.difference_interval = candidate.mcnemar_p = None
        candidate.per_label, candidate.confusion, candidate.recommended = [], [], False
    data.changed = [dataclasses.replace(row, label=None) for row in data.changed]
    return data


def empty_report():
    return report(
        candidates=[],
        chosen=None,
        changed=[],
        left_out=[],
        warnings=[],
        commands=[],
        hashes={},
        status="interrupted",
    )


def hostile_report():
    """The text HOSTILE wherever a text of the report may come from a user."""
    data = report(verdict=HOSTILE, warnings=[HOSTILE], hashes={HOSTILE: HOSTILE}, machine={HOSTILE: HOSTILE})
    data.task = dataclasses.replace(data.task, name=HOSTILE, labels=[HOSTILE, "b", "c"])
    for candidate in data.candidates:
        candidate.how = HOSTILE
        for row in candidate.per_label:
            row.label = HOSTILE
    data.candidates[-1].failed = HOSTILE
    data.candidates[2].name = data.chosen = HOSTILE
    data.candidates[2].losses = {HOSTILE: [1.5, 0.5]}
    data.changed = [dataclasses.replace(data.changed[0], text=HOSTILE, label=HOSTILE, before=HOSTILE)]
    data.left_out[0].why = data.commands[0].command = data.model.folder = HOSTILE
    return data


REPORTS = [report, regression_report, unlabelled_report, empty_report, hostile_report]
