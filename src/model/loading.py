"""Weights into a cell: every name meets its partner, or nothing is loaded."""

from mindspore import Tensor

from ..errors import UserError, describe_mismatch
from .state_dict import named_parameters


def load_strict(cell, arrays, source, fresh=()):
    """Load `arrays` {Hugging Face name: array} into `cell`.

    `fresh` are name prefixes (a new head) that may be absent from the file and then keep their initial
    values; they are returned, sorted, so that the caller can say so. Where one weight of such a prefix is
    absent or has another shape, none of the prefix is used: half an old head is no head. Raises UserError
    naming `source` and the missing, unexpected (with the nearest) and misshapen names.
    """
    parameters = named_parameters(cell)
    new = {name for prefix in fresh for name in _unfit(prefix, parameters, arrays)}
    expected = {name: parameter.shape for name, parameter in parameters.items() if name not in new}
    offered = {
        name: array.shape
        for name, array in arrays.items()
        if name in expected or not name.startswith(tuple(fresh))
    }
    wrong = describe_mismatch(offered, expected)
    if wrong:
        raise UserError(
            f"{source} does not fit the model, nothing was loaded: {wrong}; check that weights "
            "and config.json belong together"
        )
    for name in expected:
        parameters[name].set_data(Tensor(arrays[name], parameters[name].dtype))
    return sorted(new)


def _unfit(prefix, parameters, arrays):
    names = [name for name in parameters if name.startswith(prefix)]
    fit = all(name in arrays and arrays[name].shape == parameters[name].shape for name in names)
    return [] if fit else names
