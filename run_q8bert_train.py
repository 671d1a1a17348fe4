"""python run_q8bert_train.py: a BERT or a task student is quantized, by training or by calibration alone."""

from src.config.q8bert_config import resolve
from src.config.seeds_config import over_seeds
from src.errors import run_main


def main(argv=None):
    """Resolve the command line and run the stage, once or over several seeds."""
    task, resolved = resolve(argv)
    if over_seeds(resolved):
        from src.stages.training.multi_seed import repeat

        repeat("q8bert", __file__, argv, task, resolved)
        return
    # MindSpore takes seconds to load: a wrong flag is answered before.
    from src.stages.training.q8bert import q8bert

    q8bert(task, resolved)


if __name__ == "__main__":
    run_main(main)
