"""Encodes the text files of a task and writes record files, schema, manifest and tokenizer."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.fields import BOOLEAN
from ...config.task.custom import FIELDS
from ...data.dataset import TokenizedDataset
from ...data.processors import encode_rows, read_rows
from ...data.records.io import record_digests, schema_of, write_records
from ...data.records.paths import MANIFEST_FILE, SCHEMA_FILE, SPLIT_FILES
from ...data.samples.ner import write_sample_ner
from ...data.samples.sentiment import write_sample_task
from ...data.text.examples import TextFile, find_file
from ...data.tokenization.features import EncodingCounts
from ...data.tokenization.tokenizer import WRITTEN as TOKENIZER_FILES
from ...data.tokenization.tokenizer import TextTokenizer, load_tokenizer, write_tokenizer
from ...errors import UserError
from ...files import write_json
from ...output_dir import atomic_output_dir
from ...tasks import find_task
from ..markdown import aligned
from .checks import label_warnings, record_warnings, row_keys
from .custom_task import SPLIT, CustomData, custom_task_from
from .unlabeled import add_texts

if TYPE_CHECKING:
    from ...config.cli import Resolved
    from ...tools.prepare import PrepareConfig

UNK_LIMIT = 0.2
# Built-in tasks and the functions that write their files.
SAMPLES = {"sample": write_sample_task, "sample-ner": write_sample_ner}
# The last four are the text files of the built-in tasks.
WRITTEN = (
    MANIFEST_FILE,
    SCHEMA_FILE,
    *TOKENIZER_FILES,
    *SPLIT_FILES,
    "train.tsv",
    "dev.tsv",
    "train.txt",
    "dev.txt",
)


def prepare(resolved: "Resolved") -> dict:
    """Run `prepare` with a resolved PrepareConfig and return the manifest.

    output_dir is created only when all files have been written. Raises UserError for invalid input.
    """
    config, custom = resolved.config, custom_task_from(resolved)
    data = CustomData(config, custom) if custom else TaskFolder(config)
    tokenizer = load_tokenizer(config.vocab_file, BOOLEAN.get(config.do_lower_case))
    inputs = [config.vocab_file, config.train_file, *data.inputs]
    with atomic_output_dir(config.output_dir, config.overwrite_output_dir, inputs, WRITTEN) as folder:
        manifest, warnings = _write_all(config, data, tokenizer, folder)
    print(_summary(manifest, config.output_dir))
    for line in (*data.summary_lines, *(f"warning: {text}" for text in warnings)):
        print(line)
    return manifest


class TaskFolder:
    """Text files of a GLUE task in data_dir, or of a built-in task."""

    def __init__(self, config: "PrepareConfig") -> None:
        self.summary_lines: list[str] = []
        self.manifest_entries: dict = {}
        self.config, self.task = config, find_task(config.task_name)
        self.inputs = [config.data_dir, *config.unlabelled_file]
        built_in = self.task.name in SAMPLES and not config.data_dir
        if built_in and (given := [name for name in SPLIT if getattr(config, name) != FIELDS[name].default]):
            raise UserError(f"--{given[0]} has no effect: {self.task.name} has its own dev rows; remove it")
        self.sources = None if built_in else self._find_files(config.data_dir)

    def texts(self, folder: Path) -> Iterator[tuple[str, TextFile]]:
        """Iterate over (split, TextFile); a built-in task is written to `folder`.

        One file is in memory, but all of them where unlabeled texts are compared with their rows.
        """
        labeled = self._labeled_texts(folder)
        if not self.config.unlabelled_file:
            yield from labeled
            return
        added = add_texts(self.config, self.task, dict(labeled), tuple(self.task.dev_files))
        self.manifest_entries, self.summary_lines = added.manifest_entries, added.summary_lines
        yield from added.texts.items()

    def _labeled_texts(self, folder: Path) -> Iterator[tuple[str, TextFile]]:
        config, sources = self.config, self.sources
        if sources is None:
            sources = self._find_files(SAMPLES[self.task.name](folder))
        for split, source in sources.items():
            text = read_rows(source, self.task, config.on_bad_row, config.max_rows, split)
            if source.parent == folder:  # a temporary path, for messages that outlive it
                text.path = Path(self.task.name, source.name)
            yield split, text

    def _find_files(self, data_dir: str | Path) -> dict[str, Path]:
        """Split name -> text file. Train and dev files are required, test files optional.

        Unlabeled texts may stand for the train file, or for all of them.
        """
        task, unlabeled = self.task, self.config.unlabelled_file
        if unlabeled and not data_dir and not self.config.train_file:
            return {}
        if not data_dir:
            raise UserError(f"--data_dir is required: the folder with the files of {task.name}")
        if not Path(data_dir).is_dir():
            raise UserError(f"data_dir {data_dir} does not exist or is not a folder")
        sources = {split: find_file(data_dir, name) for split, name in task.files.items()}
        if self.config.train_file:
            sources["train"] = Path(self.config.train_file)
        for split, source in sources.items():
            optional = {*task.test_files, *(["train"] if unlabeled else [])}
            if source is None and split not in optional:
                raise UserError(
                    f"{Path(data_dir) / task.files[split]} does not exist; "
                    f"it should hold the {split} rows of {task.name}"
                )
        return {split: source for split, source in sources.items() if source is not None}


def _write_all(
    config: "PrepareConfig", data: CustomData | TaskFolder, tokenizer: TextTokenizer, folder: Path
) -> tuple[dict, list[str]]:
    """Write the files; returns the manifest and the warnings about the records."""
    task = data.task
    length = config.max_seq_length or task.max_seq_length
    files: dict[str, dict] = {}
    schema: dict | None = None
    warnings: list[str] = []
    known: set[bytes] = set()
    for split, text in data.texts(folder):
        dataset, counts = encode_rows(text.examples, tokenizer, task, length, f"{task.name} {split}")
        check_unknown(counts.unk_share, text.path, config.vocab_file)
        name = f"{split}.{config.dataset_type}"
        write_records(folder / name, dataset, config.dataset_type)
        schema = schema or schema_of(dataset)
        entry = _file_entry(name, text, dataset, counts)
        # Duplicates, or an augmentation with another split, put dev rows among the training rows.
        if split == "train":
            known.update(row_keys(dataset))
        elif split in task.dev_files:
            entry["rows_in_train"] = sum(key in known for key in row_keys(dataset))
            warnings += label_warnings(task, split, dataset)
        warnings += record_warnings(split, entry)
        files[split] = {**entry, "sha256": record_digests(folder / name)}
    manifest = {
        "task": task.name,
        "output_mode": task.output_mode,
        "labels": list(task.labels),
        "dataset_type": config.dataset_type,
        "max_seq_length": length,
        "max_rows": config.max_rows,
        "files": files,
        "tokenizer": tokenizer.settings,
        **data.manifest_entries,
    }
    write_tokenizer(tokenizer, folder)
    write_json(folder / SCHEMA_FILE, schema)
    write_json(folder / MANIFEST_FILE, manifest)
    return manifest, warnings


def _file_entry(name: str, text: TextFile, dataset: TokenizedDataset, counts: EncodingCounts) -> dict:
    return {
        "file": name,
        "source": text.path.name,
        "labelled": text.labeled,
        "rows": dataset.rows,
        "rows_without_label": int((~dataset.labeled).sum()),
        "tokens": int(dataset.lengths.sum()),
        "longest": int(dataset.lengths.max()),
        "truncated": counts.truncated,
        "unk_share": round(counts.unk_share, 6),
        "cut_words": counts.cut_words,
        "unlabelled": text.unlabeled,
        "skipped": len(text.bad_rows),
        "bad_rows": text.bad_rows,
        "repaired": text.repaired,
    }


def check_unknown(share: float, source: str | Path, vocab_file: str) -> None:
    """Raise UserError when too many tokens of `source` are [UNK]."""
    if share > UNK_LIMIT:
        raise UserError(
            f"{share:.0%} of the tokens of {source} are [UNK] with the vocabulary "
            f"{vocab_file} (limit {UNK_LIMIT:.0%}), which is for another language or casing; "
            "give the vocabulary of your model, or set --do_lower_case"
        )


def _summary(manifest: dict, output_dir: str) -> str:
    cells = [("file", "rows", "tokens/row", "longest", "truncated", "[UNK]", "no label", "skipped")]
    cells += [
        (
            f["file"],
            f"{f['rows']:,}",
            f"{f['tokens'] / f['rows']:.1f}",
            str(f["longest"]),
            str(f["truncated"]),
            f"{f['unk_share']:.2%}",
            str(f["unlabelled"]),
            str(f["skipped"]),
        )
        for f in manifest["files"].values()
    ]
    lines = [
        f"{manifest['task']}: {manifest['max_seq_length']} tokens per row, "
        f"{manifest['dataset_type']} in {output_dir}",
        aligned(cells),
    ]
    if manifest["max_rows"] >= 0:
        lines.append(f"only the first {manifest['max_rows']} rows of each file were read (--max_rows)")
    for file in manifest["files"].values():
        if file["cut_words"]:
            lines.append(
                f"{file['file']}: {file['cut_words']:,} words and their tags were truncated "
                "(--max_seq_length)"
            )
        if file["repaired"]:
            first = file["repaired"][0]
            lines.append(
                f"{file['source']}: {len(file['repaired']):,} tags were repaired, the first in line "
                f"{first['line']}: {first['reason']}"
            )
    return "\n".join(lines)
