"""The panel: choose service, window and percentile; the same functions run again, and a click on a candidate opens its evidence.

It holds no logic of its own: every answer comes from the function that the notebook's cells call. Where nobody can
click (under the runner, in a terminal) it shows the same evidence instead. An error is a box and never ends the panel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from opslib.core.errors import OpslibError
from opslib.core.settings import Settings
from opslib.core.windows import parse_window
from opslib.investigate import Investigation, find_cause
from opslib.ui.boxes import error_box
from opslib.ui.drawing import Drawing
from opslib.ui.ecdf import distribution
from opslib.ui.errors import in_ipython
from opslib.ui.facts import place
from opslib.ui.latency import latency_over_time
from opslib.ui.ranking import ranking
from opslib.ui.suspects import candidates, evidence
from opslib.ui.tables import Table, section
from opslib.ui.text import Html, html, short
from opslib.ui.waiting import progress

Run = Callable[[str, str], Investigation]
_PRINTED = 3


def panel(inv: Investigation, *, percentile: float = 95.0, settings: Settings | None = None) -> None:
    """Show the panel for an investigation; where nobody can click, its candidates and the first one's evidence."""
    if not in_ipython():
        print(*printed(inv), sep="\n\n")  # noqa: T201 - a script's reader has only the terminal
        return
    from IPython.display import display  # noqa: PLC0415 - only where somebody looks

    known = settings or Settings.from_environ()
    if can_click(known):
        display(Panel(inv, rerun(inv, known), percentile).widget)
    else:
        display(*printed(inv))


def printed(inv: Investigation) -> tuple[Table, ...]:
    """Return what clicks would open: the evidence of the first candidates."""
    ranks = [candidate.rank for candidate in inv.verdict.candidates[:_PRINTED]]
    return tuple(evidence(inv, rank) for rank in ranks or [1])


def can_click(settings: Settings) -> bool:
    """Tell whether a front end may be there: a kernel that no runner has started, with ipywidgets installed."""
    import importlib.util  # noqa: PLC0415 - needed only here

    from IPython import get_ipython  # noqa: PLC0415 - loaded already

    has_kernel = getattr(get_ipython(), "kernel", None) is not None
    return settings.run_dir is None and has_kernel and importlib.util.find_spec("ipywidgets") is not None


def rerun(inv: Investigation, settings: Settings) -> Run:
    """Return the function that asks the same environment or capture about another service or window."""

    def run(service: str, window: str) -> Investigation:
        return find_cause(
            service, environment=inv.environment.name, capture=inv.capture, window=window, settings=settings
        )

    return run


def services_of(inv: Investigation) -> list[str]:
    """Return the services that can be asked about: those of the source, where it tells, and those of the answer."""
    names = {inv.verdict.service, *(str(name) for name in inv.diagnosis.services["service"])}
    with contextlib.suppress(OpslibError):
        names |= set(inv.sources.traces.services()) if inv.sources.traces else set()
    return sorted(names)


class Panel:
    """The widgets and what they do; `widget` is what is displayed."""

    def __init__(self, inv: Investigation, run: Run, percentile: float = 95.0) -> None:
        import ipywidgets as w  # noqa: PLC0415 - only where somebody can click

        self._inv, self._run, self._busy = inv, run, False
        wide = {"description_width": "80px"}
        late = {"continuous_update": False, "style": wide}
        names = [(short(name, 40), name) for name in services_of(inv)]
        self.service = w.Dropdown(options=names, value=inv.verdict.service, description="service", style=wide)
        self.window = w.Text(placeholder="as before; or: last 15m", description="window", **late)
        self.percentile = w.FloatSlider(
            percentile, min=50, max=99.9, step=0.1, description="percentile", **late
        )
        self.status, self.evidence = w.HTML(), w.HTML()
        self.picture, self.spread = w.Output(), w.Output()
        self.chart, self.choice = w.VBox(), w.Select(description="evidence", style=wide)
        self.choice.layout.width = "auto"
        self.service.observe(self._ask, names="value")
        self.window.observe(self._ask, names="value")
        self.percentile.observe(self._draw, names="value")
        self.choice.observe(self._open, names="value")
        controls = w.HBox([self.service, self.window, self.percentile], layout={"flex_flow": "row wrap"})
        self.widget = w.VBox(
            [controls, self.status, self.picture, self.spread, self.chart, self.choice, self.evidence]
        )
        self._show(inv)

    def _ask(self, _: Any = None) -> None:
        """Investigate again for what the controls say; on an error keep what is shown and say what went wrong."""
        if self._busy:
            return
        self._busy = True
        for control in (self.service, self.window):
            control.disabled = True
        try:
            parse_window(self.window.value, 0)
            with progress("investigating", show=self._say):
                found = self._run(self.service.value, self.window.value)
            self._show(found)
        except OpslibError as error:
            self.status.value = section(error_box(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the panel lives on and the reader is told
            self.status.value = section(error_box(error))
        finally:
            for control in (self.service, self.window):
                control.disabled = False
            self._busy = False

    def _say(self, line: str) -> None:
        self.status.value = section(Html(f"<p>{html(line)}</p>"))

    def _show(self, inv: Investigation) -> None:
        self._inv = inv
        chosen = "" if inv.window_choice in inv.verdict.summary else f" (windows: {inv.window_choice})"
        self._say(inv.verdict.summary + chosen)
        self._draw()
        ranked = inv.verdict.candidates
        self.chart.children = self._chart(inv) if ranked else ()
        options = [(f"{c.rank}. {place(c)}", c.rank) for c in ranked]
        self.choice.options = options
        self.choice.rows = max(2, min(6, len(options)))
        self.choice.value = ranked[0].rank if ranked else None
        self._open()

    def _draw(self, _: Any = None) -> None:
        """Draw what depends on the percentile; the evidence does not."""
        _put(self.picture, latency_over_time(self._inv, self.percentile.value))
        _put(self.spread, distribution(self._inv, self.percentile.value))

    def _chart(self, inv: Investigation) -> tuple[Any, ...]:
        """Return the clickable ranking, or nothing where FigureWidget's own dependency is absent: the list remains."""
        try:
            from plotly.graph_objects import FigureWidget  # noqa: PLC0415 - needs anywidget

            drawn = ranking(inv.verdict)
            figure = FigureWidget(data=drawn["data"], layout=drawn["layout"])
        except ImportError:
            return ()
        figure.data[0].on_click(self._clicked)
        return (figure,)

    def _clicked(self, _trace: Any, points: Any, _state: Any) -> None:
        for i in points.point_inds[:1]:
            self.choice.value = self._inv.verdict.candidates[i].rank

    def _open(self, _: Any = None) -> None:
        """Open the evidence of the candidate chosen."""
        rank = self.choice.value
        shown = evidence(self._inv, rank) if rank is not None else candidates(self._inv)
        self.evidence.value = section(shown.body)


def _put(output: Any, drawing: Drawing) -> None:
    """Show a figure in an output widget, in place of what was there."""
    output.outputs = ({"output_type": "display_data", "data": drawing.bundle(), "metadata": {}},)
