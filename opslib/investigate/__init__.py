"""Room 4's use case: fetch, then diagnose, then hand over."""

from opslib.investigate.cause import ask, export_evidence, find_cause
from opslib.investigate.following import TraceAnswer, follow_trace
from opslib.investigate.investigation import Investigation
from opslib.investigate.preflight import preflight
from opslib.investigate.querying import LogAnswer, query_logs
from opslib.investigate.systems import check_systems

__all__ = [
    "Investigation",
    "LogAnswer",
    "TraceAnswer",
    "ask",
    "check_systems",
    "export_evidence",
    "find_cause",
    "follow_trace",
    "preflight",
    "query_logs",
]
