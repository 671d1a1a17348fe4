"""Catalog of the downloadable data sets, hosted by their owners.

Sizes and SHA-256 are those that TensorFlow Datasets and Hugging Face Datasets list for these URLs (GloVe:
several libraries). None means that no published value is known.
"""

import dataclasses

from ...errors import UserError, did_you_mean
from ...tasks import task_key

GLUE = "https://dl.fbaipublicfiles.com/glue/data"
SENTEVAL = "https://dl.fbaipublicfiles.com/senteval/senteval_data"
STANFORD = "https://nlp.stanford.edu"


@dataclasses.dataclass(frozen=True)
class Remote:
    """A remote file: its URL, size in bytes and SHA-256, None if unknown."""

    url: str
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """File name, the same on mirrors."""
        return self.url.rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Catalog entry.

    remotes  files to download
    files    {file name in the output folder: name in the archive or at the owner's}
    form     `zip`: archive with the files; `file`: the file itself; `mrpc`: Microsoft's two text files, from
             which GLUE's files are generated
    folder   output folder below data_dir; empty: the name
    """

    name: str
    remotes: tuple[Remote, ...]
    files: dict[str, str]
    form: str = "zip"
    folder: str = ""

    @property
    def output_folder(self) -> str:
        """Output folder below data_dir."""
        return self.folder or self.name


def _same(*names: str) -> dict[str, str]:
    return {f"{name}.tsv": f"{name}.tsv" for name in names}


SPLITS = _same("train", "dev", "test")

_ENTRIES = (
    DataSet(
        "CoLA",
        (
            Remote(
                f"{GLUE}/CoLA.zip", 376971, "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff"
            ),
        ),
        SPLITS,
    ),
    DataSet(
        "SST-2",
        (
            Remote(
                f"{GLUE}/SST-2.zip",
                7439277,
                "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
            ),
        ),
        SPLITS,
    ),
    DataSet(
        "MRPC",
        (
            Remote(
                f"{SENTEVAL}/msr_paraphrase_train.txt",
                1047044,
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
            ),
            Remote(
                f"{SENTEVAL}/msr_paraphrase_test.txt",
                441275,
                "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784",
            ),
            Remote(
                f"{GLUE}/mrpc_dev_ids.tsv",
                6222,
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
            ),
        ),
        SPLITS,
        "mrpc",
    ),
    DataSet(
        "STS-B",
        (
            Remote(
                f"{GLUE}/STS-B.zip",
                802872,
                "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85",
            ),
        ),
        SPLITS,
    ),
    DataSet(
        "QQP",
        (
            Remote(
                f"{GLUE}/QQP-clean.zip",
                41696084,
                "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0",
            ),
        ),
        SPLITS,
    ),
    DataSet(
        "MNLI",
        (
            Remote(
                f"{GLUE}/MNLI.zip",
                312783507,
                "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
            ),
        ),
        _same("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched"),
    ),
    DataSet(
        "QNLI",
        (
            Remote(
                f"{GLUE}/QNLIv2.zip",
                10627589,
                "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5",
            ),
        ),
        SPLITS,
    ),
    DataSet(
        "RTE",
        (
            Remote(
                f"{GLUE}/RTE.zip", 697150, "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee"
            ),
        ),
        SPLITS,
    ),
    DataSet(
        "WNLI",
        (
            Remote(
                f"{GLUE}/WNLI.zip", 28999, "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46"
            ),
        ),
        SPLITS,
    ),
    # GLUE's diagnostic set is another test file of MNLI.
    DataSet(
        "diagnostic",
        (
            Remote(
                f"{GLUE}/AX.tsv", 222257, "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd"
            ),
        ),
        {"diagnostic.tsv": "AX.tsv"},
        "file",
        folder="MNLI",
    ),
    DataSet(
        "SNLI",
        (
            Remote(
                f"{STANFORD}/projects/snli/snli_1.0.zip",
                94550081,
                "afb3d70a5af5d8de0d9d81e2637e0fb8c22d1235c2749d83125ca43dab0dbd3e",
            ),
        ),
        {f"{split}.tsv": f"snli_1.0_{split}.txt" for split in ("train", "dev", "test")},
    ),
    DataSet(
        "GloVe",
        (
            Remote(
                f"{STANFORD}/data/glove.6B.zip",
                862182613,
                "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
            ),
        ),
        {"glove.6B.300d.txt": "glove.6B.300d.txt"},
    ),
)

DATA_SETS = {entry.name: entry for entry in _ENTRIES}
GROUPS = {"glue": tuple(DATA_SETS)[:10], "all": tuple(DATA_SETS)}


def choose_data_sets(text: str) -> list[DataSet]:
    """Data sets in a comma-separated list of names or groups, ignoring case and hyphens, without duplicates.

    Raises UserError, with the closest match, for an unknown name, and for an empty list.
    """
    members: dict[str, tuple[str, ...]] = {**{name: (name,) for name in DATA_SETS}, **GROUPS}
    known = {task_key(name): names for name, names in members.items()}
    chosen: dict[str, DataSet] = {}
    for name in filter(None, map(str.strip, text.split(","))):
        if task_key(name) not in known:
            names = [*DATA_SETS, *GROUPS]
            raise UserError(f'--tasks: "{name}" is not one of {", ".join(names)}{did_you_mean(name, names)}')
        chosen.update((each, DATA_SETS[each]) for each in known[task_key(name)])
    if not chosen:
        raise UserError(f"--tasks is empty; choose from {', '.join([*DATA_SETS, *GROUPS])}")
    return list(chosen.values())
