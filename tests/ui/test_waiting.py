"""Progress is silent while work is quick, then one line that is moved, and told once at the end."""

import threading

import pytest

from opslib import ui
from opslib.testing import ManualClock
from opslib.ui import waiting


def test_quick_work_leaves_no_trace():
    lines = []
    with ui.progress("reading", show=lines.append, patience_s=60):
        pass

    assert lines == []


def test_slow_work_is_told_and_timed():
    lines, twice = [], threading.Event()
    clock = ManualClock()

    def show(line):
        lines.append(line)
        clock.advance(2)
        if len(lines) == 2:
            twice.set()

    with ui.progress("reading", expected_s=9, show=show, clock=clock, patience_s=0.001, tick_s=0.001):
        assert twice.wait(10)

    assert lines[:2] == ["reading: 0 s of about 9 s …", "reading: 2 s of about 9 s …"]
    assert lines[-1].startswith("reading: took ")


def test_an_error_passes_and_the_watcher_ends():
    before = threading.active_count()
    with pytest.raises(KeyError), ui.progress("reading", show=print):
        raise KeyError

    assert threading.active_count() == before


def test_in_a_notebook_one_output_is_updated_in_place(monkeypatch):
    import IPython.display

    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(("update", bundle["text/plain"], raw))

    def display(bundle, raw, display_id):
        shown.append(("display", bundle["text/plain"], display_id))
        return Handle()

    monkeypatch.setattr(waiting, "in_ipython", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    show = waiting.live_line()
    show("one")
    show("two <b>")

    assert shown == [("display", "one", True), ("update", "two <b>", True)]


def test_elsewhere_nothing_is_shown():
    assert waiting.live_line()("one") is None
