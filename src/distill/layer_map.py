"""Which teacher layer each student layer is trained to match."""

from ..errors import UserError


def parse_layer_map(text: str, student_layers: int, teacher_layers: int) -> tuple[int, ...]:
    """The teacher layer (1-based) of each student layer.

    `uniform` is g(m) = m * N / M (Jiao et al. 2020, section 4.1), rounded where M does not divide N;
    otherwise a comma list such as `2,4,6`. Raises UserError when the map does not fit the two networks.
    """
    if text == "uniform":
        return _uniform(student_layers, teacher_layers)
    try:
        layers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"--layer_map {text!r} is neither uniform nor a comma list of layer numbers"
        ) from None
    if len(layers) != student_layers:
        raise UserError(
            f"--layer_map {text} names {len(layers)} teacher layers; the student has {student_layers}"
        )
    if any(not 1 <= layer <= teacher_layers for layer in layers) or list(layers) != sorted(set(layers)):
        raise UserError(
            f"--layer_map {text} must rise and stay within the teacher's layers 1 to {teacher_layers}"
        )
    return layers


def _uniform(student_layers: int, teacher_layers: int) -> tuple[int, ...]:
    if student_layers > teacher_layers:
        raise UserError(
            f"the student has {student_layers} layers, more than the teacher's {teacher_layers}; give "
            f"--num_hidden_layers {teacher_layers} or fewer"
        )
    # Halves are rounded up, so that layers rise: round() would take the even one.
    return tuple(
        (2 * m * teacher_layers + student_layers) // (2 * student_layers)
        for m in range(1, student_layers + 1)
    )
