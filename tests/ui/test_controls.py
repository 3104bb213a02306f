"""The panel asks again with the same function, opens evidence at a choice or a click, and survives errors."""

import dataclasses
import importlib.util
import sys
from types import SimpleNamespace

import pytest

from opslib import ui
from opslib.core.errors import ServiceNotFoundError, SourceError
from opslib.core.settings import Settings
from opslib.ui import controls
from opslib.ui.controls import Panel, can_click, printed, rerun, services_of

needs_widgets = pytest.mark.skipif(
    importlib.util.find_spec("ipywidgets") is None, reason="no ipywidgets here"
)


class Source:
    def __init__(self, answers):
        self.asked, self.answers = [], answers

    def __call__(self, service, window):
        self.asked.append((service, window))
        answer = self.answers[service]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def suspects(edge):
    second = dataclasses.replace(
        edge.verdict.candidates[0], rank=2, kind="dependency", service="ledger", edge=None
    )
    verdict = dataclasses.replace(edge.verdict, candidates=(edge.verdict.candidates[0], second))
    return dataclasses.replace(edge, verdict=verdict)


def drawn(output):
    return output.outputs[0]["data"]["text/plain"]


@needs_widgets
def test_another_service_is_asked_and_shown(suspects, healthy):
    source = Source({"risk": healthy})
    panel = Panel(suspects, source)
    before = drawn(panel.picture)

    panel.service.value = "risk"

    assert source.asked == [("risk", "")]
    assert healthy.verdict.summary in panel.status.value
    assert drawn(panel.picture) != before
    assert not panel.service.disabled


@needs_widgets
def test_a_window_is_asked_for_and_a_wrong_one_is_a_box(suspects, edge):
    source = Source({"payment": edge})
    panel = Panel(suspects, source)

    panel.window.value = "last 15m"
    panel.window.value = "yesterday <b>"

    assert source.asked == [("payment", "last 15m")]
    assert 'role="alert"' in panel.status.value
    assert "What to do: write `last 15m`" in panel.status.value
    assert "&lt;b&gt;" in panel.status.value


@needs_widgets
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ServiceNotFoundError("no such service", hint="known: payment"), "What to do: known: payment"),
        (KeyError("odd"), "KeyError: "),
    ],
)
def test_errors_are_boxes_and_the_panel_lives_on(suspects, edge, error, said):
    source = Source({"risk": error, "payment": edge})
    panel = Panel(suspects, source)

    panel.service.value = "risk"
    assert said in panel.status.value
    assert "Traceback" not in panel.status.value

    panel.service.value = "payment"
    assert source.asked == [("risk", ""), ("payment", "")]
    assert edge.verdict.summary.split(";")[0] in panel.status.value


@needs_widgets
def test_the_percentile_redraws_without_asking(suspects):
    source = Source({})
    panel = Panel(suspects, source)

    panel.percentile.value = 75.0

    assert source.asked == []
    assert "p75" in drawn(panel.picture)
    assert "p75" in drawn(panel.spread)


@needs_widgets
def test_choosing_or_clicking_a_candidate_opens_its_evidence(suspects):
    panel = Panel(suspects, Source({}))
    assert "Evidence for edge payment → risk" in panel.evidence.value

    panel.choice.value = 2
    assert "Evidence for dependency ledger" in panel.evidence.value

    (figure,) = panel.chart.children
    figure.data[0]._dispatch_on_click(SimpleNamespace(point_inds=[0]), None)
    assert panel.choice.value == 1
    assert "Evidence for edge payment → risk" in panel.evidence.value


@needs_widgets
def test_without_anywidget_the_list_remains(suspects, monkeypatch):
    import plotly.graph_objects

    def absent(*_args, **_more):
        raise ImportError("please install anywidget")

    monkeypatch.setattr(plotly.graph_objects, "FigureWidget", absent)
    panel = Panel(suspects, Source({}))

    assert panel.chart.children == ()
    assert [rank for _, rank in panel.choice.options] == [1, 2]


@needs_widgets
def test_nobody_suspected_is_shown_too(healthy):
    verdict = dataclasses.replace(healthy.verdict, candidates=())
    panel = Panel(dataclasses.replace(healthy, verdict=verdict), Source({}))

    assert panel.choice.value is None
    assert "No service shows evidence" in panel.evidence.value


def test_services_come_from_the_source_and_an_answer_from_the_evidence(edge):
    def services():
        raise SourceError("down")

    known = SimpleNamespace(traces=SimpleNamespace(services=lambda: ("order", "risk")))
    down = SimpleNamespace(traces=SimpleNamespace(services=services))

    assert services_of(dataclasses.replace(edge, sources=known)) >= ["order", "payment", "risk"]
    assert "order" not in services_of(dataclasses.replace(edge, sources=down))


def test_asking_again_asks_the_same_place(edge, monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(controls, "find_cause", lambda service, **more: asked.update(more, service=service))
    settings = Settings(tmp_path)

    rerun(dataclasses.replace(edge, capture=tmp_path / "incident"), settings)("risk", "last 5m")

    assert asked == {
        "service": "risk",
        "environment": "lab",
        "capture": tmp_path / "incident",
        "window": "last 5m",
        "settings": settings,
    }


def test_in_a_terminal_the_evidence_is_printed(edge, capsys):
    ui.panel(edge)

    assert "Evidence for edge payment → risk" in capsys.readouterr().out
    assert [table.caption for table in printed(edge)] == ["evidence"] * min(3, len(edge.verdict.candidates))


def test_only_a_kernel_that_no_runner_started_can_be_clicked(monkeypatch, tmp_path):
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    assert can_click(Settings(tmp_path)) is (importlib.util.find_spec("ipywidgets") is not None)
    assert not can_click(Settings(tmp_path, run_dir=tmp_path))
    monkeypatch.setattr(IPython, "get_ipython", SimpleNamespace)
    assert not can_click(Settings(tmp_path))


@pytest.mark.parametrize("clickable", [True, False])
def test_in_a_notebook_widgets_or_the_same_evidence_are_displayed(edge, monkeypatch, clickable):
    import IPython.display

    shown = []
    monkeypatch.setattr(controls, "in_ipython", lambda: True)
    monkeypatch.setattr(controls, "can_click", lambda _settings: clickable)
    monkeypatch.setattr(controls, "Panel", lambda *_: SimpleNamespace(widget="the widget"))
    monkeypatch.setattr(IPython.display, "display", lambda *things: shown.extend(things))

    ui.panel(edge)

    assert (shown == ["the widget"]) is clickable
    assert clickable or "Evidence for" in shown[0].words


def test_the_room_is_light_until_something_is_used():
    import subprocess

    code = "import sys, opslib.ui.errors, opslib.ui; print(sorted({'pandas', 'plotly', 'IPython', 'ipywidgets'} & set(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )

    assert said.stdout == "[]\n"
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ui.nonsense
    assert sorted(ui.__all__) == ui.__all__
    for name in ui.__all__:
        assert getattr(ui, name).__doc__
