"""The same figures from a real investigation of a real capture."""

import pytest

from opslib import ui
from opslib.core.settings import Settings
from opslib.investigate import find_cause
from opslib.testing import ManualClock
from opslib.ui.conclusion import conclusion


@pytest.fixture(scope="module")
def real(edge, captured):
    folder = captured(edge)
    return find_cause("payment", capture=folder, settings=Settings(folder.parent), clock=ManualClock())


def test_a_captured_investigation_draws_and_concludes(real):
    drawn = [
        draw(real)
        for draw in (
            ui.latency_over_time,
            ui.distribution,
            ui.budget_waterfall,
            ui.call_graph,
            ui.trace_comparison,
        )
    ]

    assert all(figure.plotly() for figure in drawn)
    assert "edge payment → risk" in drawn[2].title
    assert "edge payment → risk" in drawn[3].title
    assert len(drawn[4].figure["data"][2]["x"]) == 1, "the log line of the slow trace is a tick"
    assert drawn[0].note.count("<li>") == 2
    assert conclusion(real).badge == "fail"
    assert "capture=" in conclusion(real).steps[1].command
    assert ui.candidates(real).frame["suspect"].iloc[0] == "edge payment → risk"
