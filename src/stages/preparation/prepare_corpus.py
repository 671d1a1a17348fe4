"""Writes the record files of a general corpus, with any number of independent processes.

The output folder holds the state of the job: job.json its settings, shards/ the finished shards, and
manifest.json, written by the process that finishes last, the complete result.
"""

import dataclasses
import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.fields import BOOLEAN
from ...data.corpus.documents import BadLines
from ...data.corpus.files import find_corpus_files, fingerprint
from ...data.corpus.lines import divide
from ...data.corpus.progress import Progress
from ...data.corpus.shard import (
    COUNTS,
    CorpusJob,
    ShardCounts,
    encoded_sentences,
    finished,
    is_busy,
    unk_share,
)
from ...data.corpus.shard import WRITTEN as SHARD_FILES
from ...data.corpus.workers import write_shards
from ...data.dataset import TokenizedDataset
from ...data.records.io import schema_of
from ...data.records.paths import JOB_FILE, MANIFEST_FILE, SCHEMA_FILE
from ...data.tokenization.features import check_length
from ...data.tokenization.tokenizer import WRITTEN as TOKENIZER_FILES
from ...data.tokenization.tokenizer import load_tokenizer, write_tokenizer
from ...digests import SUMS_FILE, sums_of
from ...errors import Interrupted, UserError, WriteError, reason_of
from ...files import folder_lock, split_paths, write_json, write_text
from ...json_reader import read_object
from ...output_dir import check_output_dir, fresh_output_dir, remove_leftovers_in, write_marker
from ...signals import interruptible
from ...train.throughput import throughput_line
from .prepare import check_unknown

if TYPE_CHECKING:
    from ...data.corpus.files import CorpusFile
    from ...tools.prepare_corpus import PrepareCorpusConfig

WRITTEN = (JOB_FILE, MANIFEST_FILE, SCHEMA_FILE, SUMS_FILE, *TOKENIZER_FILES, *SHARD_FILES)
# Settings that, with the text and the tokenizer, determine the records.
SETTINGS = (
    "dataset_type",
    "max_seq_length",
    "short_seq_prob",
    "masked_lm_prob",
    "epochs_to_generate",
    "num_shards",
    "on_bad_line",
    "seed",
)
# Positions in the text, and sentences at each, that are tokenized to check the vocabulary.
PROBES, PROBE_SENTENCES = 8, 400


def prepare_corpus(config: "PrepareCorpusConfig") -> dict | None:
    """Write the missing shards of this process.

    Returns the manifest when all shards of the corpus are finished, else None. Raises UserError for invalid
    input, Interrupted on Ctrl+C.
    """
    _check(config)
    tokenizer = load_tokenizer(config.vocab_file, BOOLEAN.get(config.do_lower_case))
    files = find_corpus_files(config.input, config.text_format)
    _check_overlap(config, files)
    job = CorpusJob(
        tuple(files),
        tuple(divide(files, config.num_shards)),
        tokenizer,
        Path(config.output_dir),
        config.dataset_type,
        config.max_seq_length,
        config.short_seq_prob,
        config.masked_lm_prob,
        config.epochs_to_generate,
        config.seed,
        config.on_bad_line,
    )
    _check_vocabulary(job, config)
    _open_output(config, job)
    own = range(config.shard_index, config.num_shards, config.shard_count)
    missing = [number for number in own if not finished(job, number)]
    if len(missing) < len(own):
        print(f"{len(own) - len(missing)} of {len(own)} shards are already finished and are kept")
    seconds = _write_shards(job, missing, config.workers or len(os.sched_getaffinity(0)))
    shards = [finished(job, number) for number in range(config.num_shards)]
    complete = [shard for shard in shards if shard is not None]
    new = [shard for shard in complete if shard["shard"] in missing]
    if new:
        print(throughput_line(_sum(new, "rows"), _sum(new, "tokens"), 0, seconds))
    if len(complete) < len(shards):
        print(
            f"{len(complete)} of {len(shards)} shards are finished; {MANIFEST_FILE} is written by the "
            "process that finishes the last one"
        )
        return None
    manifest = _write_manifest(job, config, complete)
    print(_summary(manifest, job.output_dir))
    return manifest


def _check(config: "PrepareCorpusConfig") -> None:
    check_length(config.max_seq_length)
    for name, limit in (("shard_count", config.num_shards), ("shard_index", config.shard_count - 1)):
        if getattr(config, name) > limit:
            raise UserError(f"--{name} {getattr(config, name)} is out of range; give at most {limit}")
    if config.overwrite_output_dir and config.shard_count > 1:
        raise UserError(
            "--overwrite_output_dir would delete the shards of the other processes; "
            f"delete {config.output_dir} before you start them"
        )


def _check_overlap(config: "PrepareCorpusConfig", files: "list[CorpusFile]") -> None:
    # Output files must not be read as input, now or when the job is resumed.
    output = Path(config.output_dir).resolve()
    folders = [Path(item).resolve() for item in split_paths(config.input) if Path(item).is_dir()]
    if any(folder in (output, *output.parents) for folder in folders) or any(
        output in file.path.resolve().parents for file in files
    ):
        raise UserError(
            f"output_dir {config.output_dir} and the input {config.input} overlap; give a separate folder"
        )


def _check_vocabulary(job: CorpusJob, config: "PrepareCorpusConfig") -> None:
    """Tokenize samples of the text, to detect a wrong vocabulary before hours of work."""
    counts, probe = ShardCounts(), dataclasses.replace(job, shards=tuple(divide(job.files, PROBES)))
    for number in range(PROBES):
        sentences = encoded_sentences(probe, number, counts, BadLines(config.on_bad_line), lambda count: None)
        for _ in islice(sentences, PROBE_SENTENCES):
            pass
    if not counts.documents:
        raise UserError(f"{config.input} holds no text")
    check_unknown(counts.unk_share, config.input, config.vocab_file)


def _open_output(config: "PrepareCorpusConfig", job: CorpusJob) -> None:
    """Create the output folder, or resume one of the same job."""
    if not job.output_dir.is_dir():
        check_output_dir(job.output_dir)
        job.output_dir.mkdir(parents=True, exist_ok=True)
    with folder_lock(job.output_dir):  # of several processes one creates it
        _create_or_resume(config, job)


def _create_or_resume(config: "PrepareCorpusConfig", job: CorpusJob) -> None:
    settings = {
        "text": fingerprint(job.files),
        "tokenizer": job.tokenizer.settings["hash"],
        **{name: getattr(config, name) for name in SETTINGS},
    }
    job_file = job.output_dir / JOB_FILE
    existing = [path.name for path in job.output_dir.iterdir()]
    if JOB_FILE in existing and not config.overwrite_output_dir:
        previous = read_object(job_file, {}, "give another folder, or --overwrite_output_dir to delete it")
        for name, value in settings.items():
            if previous.get(name) != value:
                raise UserError(
                    f"output_dir {config.output_dir} holds shards with {name} "
                    f"{previous.get(name)}, not {value}; give another folder, or "
                    "--overwrite_output_dir to delete them"
                )
        if not is_busy(job.output_dir):
            remove_leftovers_in(job.output_dir, WRITTEN)
        return
    if is_busy(job.output_dir):
        raise UserError(
            f"another process is writing to {config.output_dir}; wait for it, or give another folder"
        )
    if any(name[0] != "." for name in existing):
        inputs = [config.vocab_file, *(file.path for file in job.files)]
        fresh_output_dir(job.output_dir, config.overwrite_output_dir, inputs, WRITTEN)
    else:
        write_marker(job.output_dir, WRITTEN)
    write_json(job_file, settings)


def _write_shards(job: CorpusJob, numbers: list[int], workers: int) -> float:
    """Write shards; returns the seconds it took."""
    progress = Progress(sum(map(job.size, numbers)))
    written = 0
    try:
        with interruptible():
            for _ in write_shards(job, numbers, workers, progress.update):
                written += 1
    except KeyboardInterrupt:
        progress.close()
        raise Interrupted(
            f"interrupted; {written} of {len(numbers)} shards were finished and are kept: "
            "run the same command again to resume"
        ) from None
    except (OSError, WriteError) as error:
        where = f"{error.filename or job.output_dir}: " if isinstance(error, OSError) else ""
        raise UserError(
            f"{where}{reason_of(error)}; finished shards are kept: run the same command again to resume"
        ) from error
    progress.close()
    if written:
        print(
            f"{progress.total / 1e6:,.1f} MB of text in {progress.seconds:,.1f} s: "
            f"{progress.rate / 1e6:.2f} MB/s, workers: {min(workers, written)}"
        )
    return progress.seconds


def _sum(shards: list[dict], name: str) -> int:
    return sum(shard[name] for shard in shards)


def _write_manifest(job: CorpusJob, config: "PrepareCorpusConfig", shards: list[dict]) -> dict:
    totals = {name: _sum(shards, name) for name in COUNTS}
    if not totals["rows"]:
        raise UserError(f"{config.input} holds no text")
    share = unk_share(totals)
    check_unknown(share, config.input, config.vocab_file)
    files = {job.stem(shard["shard"]): _file_entry(shard) for shard in shards if shard["rows"]}
    manifest = {
        "task": "corpus",
        **{name: getattr(config, name) for name in SETTINGS},
        **totals,
        "unk_share": round(share, 6),
        "input_files": len(job.files),
        "input_bytes": sum(file.size for file in job.files),
        "files": files,
        "tokenizer": job.tokenizer.settings,
    }
    empty = TokenizedDataset.from_flat([], [], [], None, config.max_seq_length)
    write_tokenizer(job.tokenizer, job.output_dir)
    write_json(job.output_dir / SCHEMA_FILE, {**schema_of(empty), "numRows": totals["rows"]})
    write_json(job.output_dir / MANIFEST_FILE, manifest)
    # The shards' digests were taken when they were written.
    known = {name: digest for entry in files.values() for name, digest in entry["sha256"].items()}
    write_text(job.output_dir / SUMS_FILE, sums_of(job.output_dir, known))
    return manifest


def _file_entry(shard: dict) -> dict:
    return {
        "file": shard["file"],
        **{name: shard[name] for name in (*COUNTS, "longest")},
        "unk_share": round(unk_share(shard), 6),
        "bad_lines": shard["bad_lines"],
        "sha256": shard.get("sha256", {}),  # shards of earlier versions have none
    }


def _summary(manifest: dict, output_dir: Path) -> str:
    files, empty = len(manifest["files"]), manifest["num_shards"] - len(manifest["files"])
    lines = [
        f"{manifest['max_seq_length']} tokens per row, {manifest['dataset_type']} in {output_dir}: "
        f"{files} file{'s' * (files > 1)}",
        f"{manifest['documents']:,} documents, {manifest['rows']:,} rows of "
        f"{manifest['tokens'] / manifest['rows']:.1f} tokens, {manifest['unk_share']:.2%} [UNK]"
        + (f" besides {manifest['marked']:,} <unk> in the text" if manifest["marked"] else ""),
    ]
    if empty:
        lines.append(
            f"{empty} of {manifest['num_shards']} shards have no text and no file: the corpus has too few "
            "documents"
        )
    if manifest["skipped"]:
        lines.append(
            f"{manifest['skipped']:,} malformed lines were skipped; {MANIFEST_FILE} lists the first of each "
            "shard"
        )
    return "\n".join(lines)
