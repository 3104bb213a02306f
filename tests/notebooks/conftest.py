"""Made traffic of the figures' tests as a capture, here too."""

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parent.parent / "ui" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("made_traffic", _PATH)
_MADE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MADE)

captured = _MADE.captured


@pytest.fixture(scope="session")
def incident(captured):
    """A capture in which payments fail, and say so in their logs."""
    return captured(_MADE.make("errors", seconds=30, seed=3))
