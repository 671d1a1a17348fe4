"""bert-compression general_distill: distill a pretrained teacher into a general student on raw text."""

from collections.abc import Sequence

from ...config.gd_config import resolve


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    resolved = resolve(argv)
    # MindSpore takes seconds to load: a wrong flag, or a missing input of a rank, is reported before.
    from ...stages.training.run_folder import check_inputs

    check_inputs(resolved.config)
    from ...stages.training.general_distill import general_distill

    general_distill(resolved)
