"""BERT compression: `Classifier` and `Tagger` predict with a model folder; both are imported on first use."""

from importlib import import_module

TYPE_CHECKING = False  # that of typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from .stages.serving.predict import Classifier
    from .stages.serving.tag import Tagger

__all__ = ["Classifier", "Tagger"]
MODULES = {"Classifier": ".stages.serving.predict", "Tagger": ".stages.serving.tag"}


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(MODULES[name], __name__), name)
