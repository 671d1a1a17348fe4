"""Several models on a command line, each with a name."""

from pathlib import Path

from ...errors import UserError


def named_models(text, others=()):
    """`big=DIR,small=DIR` -> {name: DIR}, in that order; `others` are beginnings of what is no folder.

    Raises UserError for anything else, and where two models have one name.
    """
    models = {}
    for entry in filter(None, text.split(",")):
        name, _, place = entry.partition("=")
        if not (name and place and (place.startswith(tuple(others)) or Path(place).is_dir())):
            instead = "".join(f", nor name={other}PRESET" for other in others)
            raise UserError(f'--models: "{entry}" is not name=FOLDER with a folder that exists{instead}')
        if name in models:
            raise UserError(f"--models: {name} is there twice; give each model a name of its own")
        models[name] = place
    if not models:
        raise UserError("--models names no model; give name=FOLDER")
    return models
