"""Operations runbooks as notebooks: find why a service is slow, change it safely, undo it.

The public names, by room; each is imported when it is first used, so `import opslib` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from opslib.core.lazy import lazy_names

if TYPE_CHECKING:
    from opslib.core.errors import OpslibError
    from opslib.core.model import Verdict
    from opslib.core.windows import Window
    from opslib.diagnosis import diagnose
    from opslib.investigate import Investigation, find_cause, follow_trace, preflight, query_logs
    from opslib.kube import connect_cluster
    from opslib.manifests import (
        apply_plan,
        carry_out_plan,
        check_cluster,
        check_manifests,
        load_manifests,
        observe_scaling,
        plan_apply,
        plan_release,
        plan_rollout,
    )
    from opslib.telemetry import connect, connect_capture
    from opslib.ui import (
        budget_waterfall,
        call_graph,
        candidates,
        conclude,
        conclude_change,
        conclude_query,
        distribution,
        evidence,
        flaws_table,
        for_whom,
        history_table,
        latency_over_time,
        live_line,
        log_patterns,
        log_rates,
        log_records,
        panel,
        plan_table,
        preflight_table,
        progress,
        rollouts_table,
        scaling_table,
        serving_table,
        slow_calls,
        trace_comparison,
        trace_timeline,
    )

_MODULES = {
    "core.errors": ("OpslibError",),
    "core.model": ("Verdict",),
    "core.windows": ("Window",),
    "diagnosis": ("diagnose",),
    "investigate": ("Investigation", "find_cause", "follow_trace", "preflight", "query_logs"),
    "kube": ("connect_cluster",),
    "manifests": (
        "apply_plan",
        "carry_out_plan",
        "check_cluster",
        "check_manifests",
        "load_manifests",
        "observe_scaling",
        "plan_apply",
        "plan_release",
        "plan_rollout",
    ),
    "telemetry": ("connect", "connect_capture"),
    "ui": (
        "budget_waterfall",
        "call_graph",
        "candidates",
        "conclude",
        "conclude_change",
        "conclude_query",
        "distribution",
        "evidence",
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
        "preflight_table",
        "progress",
        "rollouts_table",
        "scaling_table",
        "serving_table",
        "slow_calls",
        "trace_comparison",
        "trace_timeline",
    ),
}

__all__ = [
    "Investigation",
    "OpslibError",
    "Verdict",
    "Window",
    "apply_plan",
    "budget_waterfall",
    "call_graph",
    "candidates",
    "carry_out_plan",
    "check_cluster",
    "check_manifests",
    "conclude",
    "conclude_change",
    "conclude_query",
    "connect",
    "connect_capture",
    "connect_cluster",
    "diagnose",
    "distribution",
    "evidence",
    "find_cause",
    "flaws_table",
    "follow_trace",
    "for_whom",
    "history_table",
    "latency_over_time",
    "live_line",
    "load_manifests",
    "log_patterns",
    "log_rates",
    "log_records",
    "observe_scaling",
    "panel",
    "plan_apply",
    "plan_release",
    "plan_rollout",
    "plan_table",
    "preflight",
    "preflight_table",
    "progress",
    "query_logs",
    "rollouts_table",
    "scaling_table",
    "serving_table",
    "slow_calls",
    "trace_comparison",
    "trace_timeline",
]

__getattr__ = lazy_names(__name__, _MODULES)


def __dir__() -> list[str]:
    return __all__


if "IPython" in sys.modules:  # in a kernel: errors of ours show as a box with what to do next
    importlib.import_module("opslib.ui.errors").install()
