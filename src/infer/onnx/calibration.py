"""Ranges without training: the largest |input| of every dense layer over some rows, computed in float32."""

import numpy as np

from ...config.quantization import RANGE
from ...errors import UserError
from .bert import FloatLayers, bert_model
from .session import feed, open_session


class WatchedLayers(FloatLayers):
    """FloatLayers that also put out, for each dense layer, the largest |x| of its input."""

    def multiply(self, x, name):
        sizes = self.graph.add("Abs", x, name=f"{name}.input.sizes")
        self.graph.output(self.graph.add("ReduceMax", sizes, name=f"{name}.{RANGE}", keepdims=0), ())
        return super().multiply(x, name)


def measure_ranges(config, arrays, batches):
    """{<layer>.input_threshold: float32 [1]}: what Int8Layers need of a float model.

    Parameters: `config` and `arrays` as in `bert_graph`; `batches` of input_ids, token_type_ids,
    attention_mask [B, S], without padding, whose values would count like those of real tokens.
    """
    session = open_session(bert_model(config, arrays, WatchedLayers).SerializeToString())
    names = [output.name for output in session.get_outputs() if output.name.endswith(f".{RANGE}")]
    ranges = np.zeros(len(names), np.float32)
    for columns in batches:
        ranges = np.maximum(ranges, np.array(session.run(names, feed(columns)), np.float32))
    if not np.isfinite(ranges).all():
        worst = names[int(np.argmin(np.isfinite(ranges)))].removesuffix(f".{RANGE}")
        raise UserError(
            f"inputs of {worst} are NaN or infinite: the model's weights are, or its numbers "
            "grow too large; take an earlier checkpoint"
        )
    return {name: ranges[place : place + 1] for place, name in enumerate(names)}
