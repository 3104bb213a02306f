"""The embedded lab: a small real shop, its load and its collector, and faults with known causes.

Names are loaded when they are used: the lab's own processes import this package too, and must start quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opslib.lab.commands import down, kubeconfig, status, up
    from opslib.lab.grading import Grade
    from opslib.lab.injection import clear, grade, inject
    from opslib.lab.processes import LabStatus, ProcessStatus
    from opslib.lab.scenarios import scenario_names

__all__ = [
    "Grade",
    "LabStatus",
    "ProcessStatus",
    "clear",
    "down",
    "grade",
    "inject",
    "kubeconfig",
    "scenario_names",
    "status",
    "up",
]

_MODULE_OF = {
    "Grade": "grading",
    "LabStatus": "processes",
    "ProcessStatus": "processes",
    "clear": "injection",
    "down": "commands",
    "grade": "injection",
    "inject": "injection",
    "kubeconfig": "commands",
    "scenario_names": "scenarios",
    "status": "commands",
    "up": "commands",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
