"""Headless runs of notebooks: typed parameters, a run that tells the truth, a folder with everything it found.

papermill is used as a library, in one module (`execute`); its statuses and exit codes are not believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opslib.core.lazy import lazy_names

if TYPE_CHECKING:
    from opslib.run.checkup import doctor
    from opslib.run.guard import Limits
    from opslib.run.lint import lint_notebook
    from opslib.run.live import LiveLine, PlainLine, stderr_line
    from opslib.run.notebooks import NotebookCard, list_notebooks, shipped_notebooks
    from opslib.run.open_changes import follow, resume_run, roll_back_run
    from opslib.run.runner import RunResult, run_notebook
    from opslib.run.runs import list_runs, prune_runs
    from opslib.run.startup import prepare_process

_MODULES = {
    "checkup": ("doctor",),
    "guard": ("Limits",),
    "lint": ("lint_notebook",),
    "live": ("LiveLine", "PlainLine", "stderr_line"),
    "notebooks": ("NotebookCard", "list_notebooks", "shipped_notebooks"),
    "open_changes": ("follow", "resume_run", "roll_back_run"),
    "runner": ("RunResult", "run_notebook"),
    "runs": ("list_runs", "prune_runs"),
    "startup": ("prepare_process",),
}

__all__ = [
    "Limits",
    "LiveLine",
    "NotebookCard",
    "PlainLine",
    "RunResult",
    "doctor",
    "follow",
    "lint_notebook",
    "list_notebooks",
    "list_runs",
    "prepare_process",
    "prune_runs",
    "resume_run",
    "roll_back_run",
    "run_notebook",
    "shipped_notebooks",
    "stderr_line",
]

# A kernel that loads `opslib.run.kernel` needs none of them.
__getattr__ = lazy_names(__name__, _MODULES)
