"""Room 4's pure core: evidence in, verdict out. No files, no network; same evidence, same bytes."""

from opslib.diagnosis.explain import explain_trace
from opslib.diagnosis.finish import Diagnosis, diagnose
from opslib.diagnosis.mesh_samples import workloads_in
from opslib.diagnosis.onset import find_onset
from opslib.diagnosis.partial import calls_of

__all__ = ["Diagnosis", "calls_of", "diagnose", "explain_trace", "find_onset", "workloads_in"]
