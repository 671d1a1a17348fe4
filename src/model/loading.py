"""Weights into a cell: every name meets its partner, or nothing is loaded."""

from mindspore import Tensor

from src.errors import UserError, did_you_mean
from src.model.names import named_parameters

SHOWN = 5  # names listed in full in a message; the rest are counted


def load_strict(cell, arrays, source, fresh=()):
    """Load `arrays` {Hugging Face name: array} into `cell`.

    `fresh` are name prefixes (a new head) that may be absent from the file and then keep their initial
    values; they are returned, sorted, so that the caller can say so. Where one weight of such a prefix is
    absent or has another shape, none of the prefix is used: half an old head is no head. Raises UserError
    naming `source` and the missing, unexpected (with the nearest) and misshapen names.
    """
    parameters = named_parameters(cell)
    new = {name for prefix in fresh for name in _unfit(prefix, parameters, arrays)}
    offered = {name for name in arrays if not (fresh and name.startswith(tuple(fresh))) or name in parameters}
    missing = sorted(set(parameters) - offered - new)
    unexpected = sorted(offered - set(parameters))
    misshapen = sorted(n for n in offered & set(parameters) - new if arrays[n].shape != parameters[n].shape)
    _refuse(
        source,
        missing,
        unexpected,
        [f"{n} {arrays[n].shape} instead of {parameters[n].shape}" for n in misshapen],
    )
    for name in set(parameters) - new:
        parameters[name].set_data(Tensor(arrays[name], parameters[name].dtype))
    return sorted(new)


def _unfit(prefix, parameters, arrays):
    names = [name for name in parameters if name.startswith(prefix)]
    fit = all(name in arrays and arrays[name].shape == parameters[name].shape for name in names)
    return [] if fit else names


def _refuse(source, missing, unexpected, misshapen):
    if not (missing or unexpected or misshapen):
        return
    parts = [f"{len(missing)} weights are missing ({_listed(missing)})"] if missing else []
    if unexpected:
        near = did_you_mean(unexpected[0], missing) if missing else ""
        parts.append(f"{len(unexpected)} are unexpected ({_listed(unexpected)}{near})")
    if misshapen:
        parts.append(f"{len(misshapen)} have another shape ({_listed(misshapen)})")
    raise UserError(
        f"{source} does not fit the model, nothing was loaded: "
        + "; ".join(parts)
        + "; check that weights and config.json belong together"
    )


def _listed(names):
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
