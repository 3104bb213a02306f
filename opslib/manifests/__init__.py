"""What runs in a cluster as files say it: load, check, plan, apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opslib.core.lazy import lazy_names

if TYPE_CHECKING:
    from opslib.manifests.apply import Applied, apply_plan
    from opslib.manifests.check import Flaw, check_manifests
    from opslib.manifests.driven import Change
    from opslib.manifests.images import read_images
    from opslib.manifests.load import load_manifests
    from opslib.manifests.plan import SetPlan, plan_apply
    from opslib.manifests.runbooks import (
        Planned,
        carry_out_plan,
        check_cluster,
        observe_scaling,
        plan_release,
        plan_rollout,
    )
    from opslib.manifests.surroundings import find_surroundings

_MODULES = {
    "apply": ("Applied", "apply_plan"),
    "check": ("Flaw", "check_manifests"),
    "driven": ("Change",),
    "images": ("read_images",),
    "load": ("load_manifests",),
    "plan": ("SetPlan", "plan_apply"),
    "runbooks": (
        "Planned",
        "carry_out_plan",
        "check_cluster",
        "observe_scaling",
        "plan_release",
        "plan_rollout",
    ),
    "surroundings": ("find_surroundings",),
}

__all__ = [
    "Applied",
    "Change",
    "Flaw",
    "Planned",
    "SetPlan",
    "apply_plan",
    "carry_out_plan",
    "check_cluster",
    "check_manifests",
    "find_surroundings",
    "load_manifests",
    "observe_scaling",
    "plan_apply",
    "plan_release",
    "plan_rollout",
    "read_images",
]

__getattr__ = lazy_names(__name__, _MODULES)
