"""What every test needs: the skip of tests whose reference is not installed."""
import importlib.util

import pytest

REFERENCES = ("torch", "transformers")


def pytest_collection_modifyitems(items):
    missing = [name for name in REFERENCES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"needs {' and '.join(missing)}: scripts/run_tests.sh --with-reference")
    for item in items:
        if "reference" in item.keywords:
            item.add_marker(skip)
