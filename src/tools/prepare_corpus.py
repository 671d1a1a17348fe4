"""python -m src.tools.prepare_corpus: raw text -> record files for general distillation."""

from ..config.cli import parse
from ..config.prepare_corpus_config import PrepareCorpusConfig
from ..errors import run_main
from ..stages.preparation.prepare_corpus import prepare_corpus


def main(argv=None):
    """Parse the command line and prepare the records."""
    prepare_corpus(parse(PrepareCorpusConfig, argv, prog="python -m src.tools.prepare_corpus").config)


if __name__ == "__main__":
    run_main(main)
