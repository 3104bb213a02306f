"""Room 4's pure core: evidence in, verdict out. No files, no network; same evidence, same bytes."""

from opslib.diagnosis.explain import explain_trace
from opslib.diagnosis.finish import Diagnosis, diagnose
from opslib.diagnosis.logpatterns import pattern as line_pattern
from opslib.diagnosis.mesh_samples import workloads_in
from opslib.diagnosis.onset import find_course, find_onset
from opslib.diagnosis.partial import calls_of
from opslib.diagnosis.statistics import exceeds_share, rate_shift

__all__ = [
    "Diagnosis",
    "calls_of",
    "diagnose",
    "exceeds_share",
    "explain_trace",
    "find_course",
    "find_onset",
    "line_pattern",
    "rate_shift",
    "workloads_in",
]
