"""What people see: figures, tables, the panel, the conclusion. The only room that draws; every name loads when it is used.

No module bears the name of a function, or importing the module would hide the function.

A figure is plain plotly JSON made here, so drawing one needs no plotly; plotly itself is loaded only for the panel's
clickable figure, for `Drawing.plotly()` and for the report's copy of plotly.js.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opslib.ui.change import (
        flaws_table,
        history_table,
        plan_table,
        rollouts_table,
        scaling_table,
        serving_table,
    )
    from opslib.ui.changed import conclude_change
    from opslib.ui.conclusion import conclude
    from opslib.ui.controls import panel
    from opslib.ui.dots import slow_calls
    from opslib.ui.drawing import Drawing
    from opslib.ui.ecdf import distribution
    from opslib.ui.graph import call_graph
    from opslib.ui.latency import latency_over_time
    from opslib.ui.preflight import preflight_table
    from opslib.ui.queried import conclude_query
    from opslib.ui.rates import log_rates
    from opslib.ui.records import log_patterns, log_records
    from opslib.ui.report import figure_html, plotly_js
    from opslib.ui.suspects import candidates, evidence
    from opslib.ui.tables import Table
    from opslib.ui.timeline import trace_timeline
    from opslib.ui.traces import trace_comparison
    from opslib.ui.waiting import live_line, progress
    from opslib.ui.waterfall import budget_waterfall
    from opslib.ui.whom import for_whom

_MODULES = {
    "suspects": ("candidates", "evidence"),
    "change": (
        "flaws_table",
        "history_table",
        "plan_table",
        "rollouts_table",
        "scaling_table",
        "serving_table",
    ),
    "changed": ("conclude_change",),
    "conclusion": ("conclude",),
    "ecdf": ("distribution",),
    "dots": ("slow_calls",),
    "drawing": ("Drawing",),
    "graph": ("call_graph",),
    "latency": ("latency_over_time",),
    "controls": ("panel",),
    "preflight": ("preflight_table",),
    "waiting": ("live_line", "progress"),
    "queried": ("conclude_query",),
    "rates": ("log_rates",),
    "records": ("log_patterns", "log_records"),
    "report": ("figure_html", "plotly_js"),
    "tables": ("Table",),
    "timeline": ("trace_timeline",),
    "traces": ("trace_comparison",),
    "waterfall": ("budget_waterfall",),
    "whom": ("for_whom",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Drawing",
    "Table",
    "budget_waterfall",
    "call_graph",
    "candidates",
    "conclude",
    "conclude_change",
    "conclude_query",
    "distribution",
    "evidence",
    "figure_html",
    "flaws_table",
    "for_whom",
    "history_table",
    "latency_over_time",
    "live_line",
    "log_patterns",
    "log_rates",
    "log_records",
    "panel",
    "plan_table",
    "plotly_js",
    "preflight_table",
    "progress",
    "rollouts_table",
    "scaling_table",
    "serving_table",
    "slow_calls",
    "trace_comparison",
    "trace_timeline",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'opslib.ui' has no attribute {name!r}")
    return getattr(importlib.import_module(f"opslib.ui.{module}"), name)
