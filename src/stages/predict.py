"""Former import path of Classifier; use `from src import Classifier`."""

from .serving.predict import Classifier

__all__ = ["Classifier"]
