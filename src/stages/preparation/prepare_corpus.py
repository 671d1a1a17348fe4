"""Raw text -> token ids -> record files of a general corpus, by many processes that need not know each other.

The folder for the records says how far the work is: job.json what is to be made, shards/ which shards are
finished, and manifest.json, written by whoever finishes last, that all are.
"""

import dataclasses
import os
from itertools import islice
from pathlib import Path

from ...config.fields import BOOLEAN
from ...data.corpus.documents import BadLines
from ...data.corpus.files import find_corpus_files, fingerprint
from ...data.corpus.lines import divide
from ...data.corpus.progress import Progress
from ...data.corpus.shard import WRITTEN as SHARD_FILES
from ...data.corpus.shard import CorpusJob, Counts, encoded_sentences, finished, unk_share
from ...data.corpus.workers import make_shards
from ...data.dataset import TokenizedDataset
from ...data.records.io import schema_of
from ...data.records.paths import JOB_FILE, MANIFEST_FILE, SCHEMA_FILE
from ...data.tokenization.features import check_length
from ...data.tokenization.tokenizer import WRITTEN as TOKENIZER_FILES
from ...data.tokenization.tokenizer import load_tokenizer
from ...errors import Interrupted, UserError
from ...files import read_json, write_json
from ...output_dir import fresh_output_dir, write_marker
from ...train.throughput import throughput_line
from .prepare import check_unknown

WRITTEN = (JOB_FILE, MANIFEST_FILE, SCHEMA_FILE, *TOKENIZER_FILES, *SHARD_FILES)
# What decides the records beside the text and the tokenizer.
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
# Places of the text, and sentences at each, that are tried before the work begins.
TRIED_PLACES, TRIED_SENTENCES = 8, 400
# Numbers of a shard's note that the manifest gives for each file; their sums are the corpus's.
FACTS = ("rows", "tokens", "documents", "sentences", "text_tokens", "unknown", "marked", "skipped")


def prepare_corpus(config):
    """Make this process's share of the shards (src/config/prepare_corpus_config.py), those that are missing.

    Returns the manifest when all shards of the corpus are finished, else None. Raises UserError for anything
    wrong with the input, Interrupted on Ctrl+C.
    """
    _check(config)
    tokenizer = load_tokenizer(config.vocab_file, BOOLEAN.get(config.do_lower_case))
    files = find_corpus_files(config.input, config.text_format)
    _keep_apart(config, files)
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
    _try_vocabulary(job, config)
    _open_output(config, job)
    own = range(config.shard_index, config.num_shards, config.shard_count)
    missing = [number for number in own if not finished(job, number)]
    if len(missing) < len(own):
        print(f"{len(own) - len(missing)} of {len(own)} shards are finished already and are kept")
    seconds = _make(job, missing, config.workers or len(os.sched_getaffinity(0)))
    notes = [finished(job, number) for number in range(config.num_shards)]
    made = [notes[number] for number in missing]
    if made:
        print(throughput_line(_sum(made, "rows"), _sum(made, "tokens"), 0, seconds))
    if None in notes:
        print(
            f"{len(notes) - notes.count(None)} of {len(notes)} shards are finished; {MANIFEST_FILE} is "
            "written by the process that makes the last one"
        )
        return None
    manifest = _write_manifest(job, config, notes)
    print(_summary(manifest, job.output_dir))
    return manifest


def _check(config):
    check_length(config.max_seq_length)
    for name, most in (("shard_count", config.num_shards), ("shard_index", config.shard_count - 1)):
        if getattr(config, name) > most:
            raise UserError(f"--{name} {getattr(config, name)} is out of range; give {most} at most")
    if config.overwrite_output_dir and config.shard_count > 1:
        raise UserError(
            "--overwrite_output_dir would delete what the other parts of the job have made; "
            f"delete {config.output_dir} before you start them"
        )


def _keep_apart(config, files):
    # What is written must not be read, now or when the same command goes on with the rest.
    output = Path(config.output_dir).resolve()
    items = (config.input, *config.input.split(","))
    folders = [Path(item.strip()).resolve() for item in items if Path(item.strip()).is_dir()]
    if any(folder in (output, *output.parents) for folder in folders) or any(
        output in file.path.resolve().parents for file in files
    ):
        raise UserError(
            f"output_dir {config.output_dir} and the input {config.input} lie within each other; "
            "give a folder of its own"
        )


def _try_vocabulary(job, config):
    """Tokenize a little of the text from TRIED_PLACES places: hours are saved where it does not fit."""
    counts, trial = Counts(), dataclasses.replace(job, shards=divide(job.files, TRIED_PLACES))
    for number in range(TRIED_PLACES):
        sentences = encoded_sentences(trial, number, counts, BadLines(config.on_bad_line), lambda count: None)
        for _ in islice(sentences, TRIED_SENTENCES):
            pass
    if not counts.documents:
        raise UserError(f"{config.input} holds no text")
    check_unknown(counts.unk_share, config.input, config.vocab_file)


def _open_output(config, job):
    """Begin the folder for the records, or go on with one that the same job has begun."""
    wanted = {
        "text": fingerprint(job.files),
        "tokenizer": job.tokenizer.settings["hash"],
        **{name: getattr(config, name) for name in SETTINGS},
    }
    job_file = job.output_dir / JOB_FILE
    # One look: another part of the job may write its job.json (a hidden file until it is whole) meanwhile.
    there = [path.name for path in job.output_dir.iterdir()] if job.output_dir.is_dir() else None
    if there and JOB_FILE in there and not config.overwrite_output_dir:
        begun = read_json(job_file)
        for name, value in wanted.items():
            if begun.get(name) != value:
                raise UserError(
                    f"output_dir {config.output_dir} holds shards made with {name} "
                    f"{begun.get(name)}, not {value}; give another folder, or "
                    "--overwrite_output_dir to delete them"
                )
        return
    if there is None or any(name[0] != "." for name in there):
        inputs = [config.vocab_file, *(file.path for file in job.files)]
        fresh_output_dir(job.output_dir, config.overwrite_output_dir, inputs, WRITTEN)
    else:
        write_marker(job.output_dir, WRITTEN)
    write_json(job_file, wanted)


def _make(job, numbers, workers):
    progress = Progress(sum(map(job.size, numbers)))
    made = 0
    try:
        for _ in make_shards(job, numbers, workers, progress.update):
            made += 1
    except KeyboardInterrupt:
        progress.close()
        raise Interrupted(
            f"interrupted; {made} of {len(numbers)} shards were finished and are kept: "
            "the same command makes the others"
        ) from None
    except OSError as error:
        raise UserError(
            f"{error.filename or job.output_dir}: {error.strerror or error}; the shards that are "
            "finished are kept: the same command makes the others"
        ) from None
    progress.close()
    if made:
        print(
            f"{progress.total / 1e6:,.1f} MB of text in {progress.seconds:,.1f} s: "
            f"{progress.rate / 1e6:.2f} MB/s, workers: {min(workers, made)}"
        )
    return progress.seconds


def _sum(notes, name):
    return sum(note[name] for note in notes)


def _write_manifest(job, config, notes):
    totals = {name: _sum(notes, name) for name in FACTS}
    if not totals["rows"]:
        raise UserError(f"{config.input} holds no text")
    share = unk_share(totals)
    check_unknown(share, config.input, config.vocab_file)
    files = {job.stem(note["shard"]): _entry(note) for note in notes if note["rows"]}
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
    job.tokenizer.save(job.output_dir)
    write_json(job.output_dir / SCHEMA_FILE, {**schema_of(empty), "numRows": totals["rows"]})
    write_json(job.output_dir / MANIFEST_FILE, manifest)
    return manifest


def _entry(note):
    numbers = {name: note[name] for name in (*FACTS, "longest")}
    return {
        "file": note["file"],
        **numbers,
        "unk_share": round(unk_share(note), 6),
        "bad_lines": note["bad_lines"],
    }


def _summary(manifest, output_dir):
    files, empty = len(manifest["files"]), manifest["num_shards"] - len(manifest["files"])
    lines = [
        f"{manifest['max_seq_length']} tokens a row, {manifest['dataset_type']} in {output_dir}: "
        f"{files} file{'s' * (files > 1)}",
        f"{manifest['documents']:,} documents, {manifest['rows']:,} rows of "
        f"{manifest['tokens'] / manifest['rows']:.1f} tokens, {manifest['unk_share']:.2%} [UNK]"
        + (f" beside {manifest['marked']:,} <unk> of the text" if manifest["marked"] else ""),
    ]
    if empty:
        lines.append(
            f"{empty} of {manifest['num_shards']} shards have no text and no file: there are too "
            "few documents"
        )
    if manifest["skipped"]:
        lines.append(
            f"{manifest['skipped']:,} malformed lines were left out; {MANIFEST_FILE} lists the "
            "first of each shard"
        )
    return "\n".join(lines)
