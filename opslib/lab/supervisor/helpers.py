"""Processes beside the shop that are there only while something is wrong: what each is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opslib.lab.state import Folder
from opslib.lab.supervisor.child import Child
from opslib.lab.supervisor.plan import Options

RELEASE = "release"  # no process of ours but a second release of a service, on the cluster


def helper_child(number: int, helper: Mapping[str, Any], folder: Folder, options: Options) -> Child:
    """Return the child, not started: `{"role", "settings"}`."""
    role = str(helper["role"])
    settings = {**helper["settings"], "ledger": str(folder.ledger), "seed": options.seed}
    return Child(f"{role}-{number}", role, settings, folder.logs / f"helper-{number}.log")
