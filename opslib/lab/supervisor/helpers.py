"""Processes beside the shop that are there only while something is wrong: what each is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opslib.lab.state import Folder
from opslib.lab.supervisor.addresses import Addresses
from opslib.lab.supervisor.child import Child
from opslib.lab.supervisor.plan import Options, canary_settings


def helper_child(
    number: int, helper: Mapping[str, Any], addresses: Addresses, folder: Folder, options: Options
) -> Child:
    """Return the child, not started: `{"role", "settings"}`; role `payment` is a second release of payment."""
    role, own = str(helper["role"]), dict(helper["settings"])
    if role == "payment":
        settings = canary_settings(own["version"], own["knobs"], addresses, folder, options)
    else:
        settings = {**own, "ledger": str(folder.ledger), "seed": options.seed}
    return Child(f"{role}-{number}", role, settings, folder.logs / f"helper-{number}.log")
