"""Former import path of Tagger; use `from src import Tagger`."""

from .serving.tag import Tagger

__all__ = ["Tagger"]
