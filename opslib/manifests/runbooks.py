"""What the notebooks call: plan a release or a rollout in an environment, carry out what was approved, watch it.

Nothing changes without the plan's token. Under the runner the plan is saved for whoever approves it, and an approved one
is carried out as it was saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from opslib.core.checks import Check
from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import RefusedError, UsageError
from opslib.core.journal import APPROVED_PLAN, write_json
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan, is_approved
from opslib.core.settings import Settings, load_environment
from opslib.kube import Cluster, Ref, connect_cluster
from opslib.manifests.check import Flaw, Severity, check_manifests, in_place_flaws
from opslib.manifests.driven import Change, change_folder, start_change, watch_change
from opslib.manifests.orders import Action, Order, plan_order, workload_ref
from opslib.manifests.plan import MAX_PRUNE, SetPlan
from opslib.manifests.rights import preflight_cluster
from opslib.manifests.rollouts import Revision, history
from opslib.manifests.scaling import Scaling, look_at_scaling
from opslib.manifests.sets import ReleaseSet
from opslib.manifests.surroundings import find_surroundings

SHIPPED = "opslib:"
Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that waits for its approval. `blocked` says why it cannot have one, empty where it can."""

    environment: str
    settings: Settings
    cluster: Cluster
    plan: Plan
    summary: str
    deadline_s: float
    blocked: str = ""
    flaws: tuple[Flaw, ...] = ()
    entries: SetPlan | None = None
    revisions: tuple[Revision, ...] = ()
    release: ReleaseSet | None = None


def check_cluster(
    environment: str, *, changes: bool = True, settings: Settings | None = None
) -> tuple[Check, ...]:
    """Check that the environment's cluster answers and that no right is missing. Raises UsageError without a cluster."""
    return preflight_cluster(_connected(environment, settings or Settings.from_environ()), changes=changes)


def _connected(environment: str, settings: Settings) -> Cluster:
    return connect_cluster(load_environment(environment, settings), settings)


def plan_release(
    environment: str,
    path: str,
    *,
    release: str,
    images: str = "",
    take_over: Sequence[str] = (),
    severities: str = "",
    max_prune: int = MAX_PRUNE,
    deadline_s: float = 600.0,
    settings: Settings | None = None,
) -> Planned:
    """Read, check and plan a set: nothing is written but, under the runner, the plan itself.

    `path` names files and folders, several with commas; `opslib:lab/manifests` is the shop of the lab. `severities`
    weighs rules otherwise: `privileged=warning,image-latest=off`. Raises as the parts do.
    """
    settings = settings or Settings.from_environ()
    cluster = _connected(environment, settings)
    paths = tuple(_path(part, settings) for part in path.split(",") if part)
    wanted = ReleaseSet(
        release, paths, str(settings.cwd / images) if images else "", tuple(take_over), max_prune=max_prune
    )
    read = wanted.planned(cluster, environment)
    manifests, planned = read.manifests, read.plan
    flaws = in_place_flaws(read.in_place) + check_manifests(
        manifests,
        namespace=cluster.namespace,
        existing=find_surroundings(cluster, manifests),
        severities=_severities(severities),
    )
    counts = ", ".join(f"{number} {word}" for word, number in planned.counts().items())
    found = Planned(
        environment,
        settings,
        cluster,
        planned.plan,
        f"release {release}: {counts}",
        deadline_s,
        _blocked(planned, flaws),
        flaws,
        planned,
        release=wanted,
    )
    return _saved(found)


def _path(text: str, settings: Settings) -> str:
    """Return where a set is: below the working directory, or with `opslib:` among what the package ships."""
    if text.startswith(SHIPPED):
        return str(resources.files("opslib").joinpath(*text.removeprefix(SHIPPED).split("/")))
    return str(settings.cwd / Path(text).expanduser())


def _severities(text: str) -> dict[str, Severity]:
    pairs = [part.partition("=") for part in text.replace(" ", "").split(",") if part]
    return {rule: severity for rule, _, severity in pairs}  # type: ignore[misc]  # checked where they are used


def _blocked(planned: SetPlan, flaws: Sequence[Flaw]) -> str:
    errors = [flaw for flaw in flaws if flaw.severity == "error"]
    if planned.blocked:
        return str(planned.blocked[0])
    if errors:
        return f"{errors[0].object}: {errors[0].rule}: {errors[0].evidence}"
    return ""


def plan_rollout(
    environment: str,
    workload: str,
    action: Action,
    *,
    image: str = "",
    container: str = "",
    revision: int = 0,
    replicas: int = 0,
    deadline_s: float = 600.0,
    settings: Settings | None = None,
) -> Planned:
    """Plan one of kubectl's rollout actions on a workload (`deploy/payment`). Raises as `plan_order`."""
    settings = settings or Settings.from_environ()
    cluster = _connected(environment, settings)
    ref = workload_ref(workload, cluster.namespace)
    order = Order(action, image, container, revision, replicas=replicas)
    plan = plan_order(cluster, ref, order, environment=environment, clock=SystemClock())
    summary = str(plan.shown["summary"])
    revisions = tuple(history(cluster, ref))
    return _saved(Planned(environment, settings, cluster, plan, summary, deadline_s, revisions=revisions))


def observe_scaling(planned: Planned, *, for_s: float = 0.0, clock: Clock | None = None) -> Scaling:
    """Return why the autoscalers of a rollout's workload do not scale, and sizes by its use over `for_s` seconds."""
    ref = Ref.of_identity(planned.plan.steps[0].object)
    return look_at_scaling(planned.cluster, ref, clock or SystemClock(), for_s=for_s)


def _saved(planned: Planned) -> Planned:
    """Under the runner, leave the plan where `--approve TOKEN` looks for it; a run that has an approved one leaves none."""
    folder = planned.settings.run_dir
    if folder is not None and planned.plan.steps and not (folder / APPROVED_PLAN).exists():
        write_json(folder / "plan.json", planned.plan.to_dict())
    return planned


def carry_out_plan(
    planned: Planned, confirm: str, *, show: Show = lambda _: None, clock: Clock | None = None
) -> Change | None:
    """Carry out a plan that `confirm` approves and watch it to its end; None where it only waits for approval.

    Interrupting it stops the watching; the change goes on. Raises RefusedError for another token, or a blocked plan.
    """
    plan = _approved(planned)
    if not is_approved(plan, confirm, under_runner=planned.settings.run_dir is not None):
        return None
    if planned.blocked:
        raise RefusedError(
            f"the plan cannot be carried out: {planned.blocked}", hint="settle that, then plan again"
        )
    if not plan.steps:
        return Change(Path(), Outcome.PASS, "everything is as it is wanted already")
    clock = clock or SystemClock()
    folder = change_folder(planned.settings, "change", clock)
    start_change(
        folder,
        plan,
        planned.settings,
        environment=planned.environment,
        deadline_s=planned.deadline_s,
        release=planned.release,
    )
    return watch_change(folder, show, clock)


def _approved(planned: Planned) -> Plan:
    """Return the plan that the runner was given, as it was saved; without one the plan that was made now."""
    folder = planned.settings.run_dir
    path = folder / APPROVED_PLAN if folder is not None else None
    if path is None or not path.exists():
        return planned.plan
    try:
        saved: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"the approved plan cannot be read: {error}", hint="plan again") from error
    return Plan.from_dict(saved)
