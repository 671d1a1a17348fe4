"""Post-training calibration: the largest |input| of every dense layer over some batches, in float32."""

from collections.abc import Iterable, Sequence

import numpy as np

from ...config.bert_config import BertConfig
from ...config.quantization import RANGE
from ...errors import UserError
from .bert import Arrays, FloatLayers, bert_model
from .session import input_feed, open_session


class CalibrationLayers(FloatLayers):
    """FloatLayers that also output, for each dense layer, the largest |x| of its input."""

    def matmul(self, x: str, name: str) -> str:
        absolute = self.graph.add("Abs", x, name=f"{name}.input.sizes")
        self.graph.output(self.graph.add("ReduceMax", absolute, name=f"{name}.{RANGE}", keepdims=0), ())
        return super().matmul(x, name)


def measure_ranges(
    config: BertConfig, arrays: Arrays, batches: Iterable[Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """{<layer>.input_threshold: float32 [1]}: the input ranges that Int8Layers need of a float model.

    Parameters: `config` and `arrays` as in `bert_graph`; `batches` of input_ids, token_type_ids,
    attention_mask [B, S] without padding, since padding would count like real tokens.
    """
    session = open_session(bert_model(config, arrays, CalibrationLayers).SerializeToString())
    names = [output.name for output in session.get_outputs() if output.name.endswith(f".{RANGE}")]
    ranges = np.zeros(len(names), np.float32)
    for columns in batches:
        ranges = np.maximum(ranges, np.array(session.run(names, input_feed(columns)), np.float32))
    if not np.isfinite(ranges).all():
        layer = names[int(np.argmin(np.isfinite(ranges)))].removesuffix(f".{RANGE}")
        raise UserError(
            f"inputs of {layer} are NaN or infinite: the weights are not finite or activations overflow; use "
            "an earlier checkpoint"
        )
    return {name: ranges[index : index + 1] for index, name in enumerate(names)}
