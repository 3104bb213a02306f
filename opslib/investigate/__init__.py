"""Room 4's use case: fetch, then diagnose, then hand over."""

from opslib.investigate.cause import ask, export_evidence, find_cause
from opslib.investigate.investigation import Investigation
from opslib.investigate.preflight import preflight
from opslib.investigate.systems import check_systems

__all__ = ["Investigation", "ask", "check_systems", "export_evidence", "find_cause", "preflight"]
