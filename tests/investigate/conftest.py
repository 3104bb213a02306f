"""The captures that the telemetry tests make up, here too, and a live one with its environment."""

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parent.parent / "telemetry" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("made_captures", _PATH)
_MADE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MADE)

made, rows, capture_folder = _MADE.made, _MADE.rows, _MADE.capture_folder


@pytest.fixture
def live(tmp_path, made):
    """A function that writes a live capture from rows and returns settings in which the environment `lab` has it."""
    from opslib.core.columns import COLUMNS
    from opslib.core.settings import Settings
    from opslib.telemetry.capture import CaptureWriter

    def write(rows, logs=()):
        with CaptureWriter(tmp_path / "lab" / "capture") as writer:
            for signal, content in (("spans", rows), ("logs", logs)):
                names = [column.name for column in COLUMNS[signal]]
                writer.append(signal, [tuple(row.get(name) for name in names) for row in content])
        source = '{kind = "capture", path = "capture", live = true}'
        (tmp_path / "lab" / "opslib.toml").write_text(
            f"[environments.lab]\ntraces = {source}\nlogs = {source}\nmetrics = {source}\nchanges = {source}\n"
            "[environments.lab.services.mapped]\n"
        )
        return Settings(cwd=tmp_path, lab_state=tmp_path / "lab")

    return write
