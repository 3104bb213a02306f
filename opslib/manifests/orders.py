"""What is ordered of a rollout, in kubectl's words, and the plan that approves it.

An order is symbolic (`undo to revision 3`, `set image`): it holds no pod template, so no value that a template holds
reaches a plan, a journal or a report. What it means is worked out again from the cluster when it is carried out, and a
precondition tells whether that is still the object that was planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from opslib.core.clock import Clock
from opslib.core.errors import NotFoundError, RefusedError, UsageError, near_names
from opslib.core.plan import Plan, Step
from opslib.kube import Cluster, Object, Ref
from opslib.manifests.pods import mapping, mappings
from opslib.manifests.rollouts import Edit, carry_out_now, edit, pause, restart, resume, scale, undo
from opslib.manifests.workloads import Workload, look_at

Action = Literal["set image", "undo", "restart", "scale", "pause", "resume"]
# Those that make pods anew, and so are waited for and undone when they fail.
ROLLING: frozenset[Action] = frozenset({"set image", "undo", "restart", "scale", "resume"})
_SHORT = {"deploy": "Deployment", "deployment": "Deployment", "sts": "StatefulSet", "statefulset": "StatefulSet",
          "ds": "DaemonSet", "daemonset": "DaemonSet"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """One action on one workload; only what belongs to the action counts.

    `revision` 0 is the one before; `template_hash` names a revision for good, and goes before its number.
    """

    action: Action
    image: str = ""
    container: str = ""
    revision: int = 0
    template_hash: str = ""
    replicas: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def workload_ref(text: str, namespace: str) -> Ref:
    """Return the workload that `deploy/payment` names, as kubectl reads it. Raises UsageError."""
    kind, slash, name = text.partition("/")
    known = _SHORT.get(kind.lower().removesuffix("s") if kind.lower() not in _SHORT else kind.lower())
    if not slash or not name or known is None:
        raise UsageError(
            f"{text!r} names no workload", hint=f"such as deploy/payment; {near_names(kind, _SHORT)}"
        )
    return Ref("apps/v1", known, namespace, name)


def checked_order(order: Order) -> Order:
    """Return an order that can be carried out. Raises UsageError for what is missing or makes no sense."""
    if order.action not in get_args(Action):
        raise UsageError(
            f"{order.action!r} is no action", hint=near_names(str(order.action), get_args(Action))
        )
    if order.action == "set image" and not order.image:
        raise UsageError("`set image` needs an image", hint="image=registry/shop/payment:1.5.0")
    if order.replicas < 0 or order.revision < 0:
        raise UsageError("replicas and revision are not negative", hint="0 or more")
    return order


def plan_order(cluster: Cluster, ref: Ref, order: Order, *, environment: str, clock: Clock) -> Plan:
    """Plan an order: nothing is written; a dry run of the server has taken it.

    Raises:
        UsageError, NotFoundError: there is no such workload, container or revision.
        RefusedError: it is so already, or the workload is paused.
    """
    order = checked_order(order)
    made = carry_out_now(cluster, lambda: edit_of(cluster, ref, order, clock), dry_run=True)
    obj = look_at(cluster, ref).object
    metadata = obj["metadata"]
    expects = {"uid": metadata["uid"], "generation": metadata.get("generation", 0)}
    step = Step(order.action, ref.identity, order.to_dict(), expects)
    shown = {"kind": "rollout", "summary": made.summary, "warnings": [*made.warnings, *_no_way_back(obj)]}
    return Plan(environment, cluster.identity(), (step,), shown)


def _no_way_back(obj: Object) -> list[str]:
    if mapping(obj, "spec").get("revisionHistoryLimit") == 0:
        return ["revisionHistoryLimit is 0: there will be no revision to go back to"]
    return []


def edit_of(cluster: Cluster, ref: Ref, order: Order, clock: Clock) -> Edit:
    """Return what an order comes to on the workload as it is now. Raises as `plan_order`."""
    if order.action == "undo":
        return undo(cluster, ref, to_revision=order.revision, to_hash=order.template_hash)
    if order.action == "restart":
        return restart(cluster, ref, clock)
    if order.action == "scale":
        return scale(cluster, ref, order.replicas)
    if order.action == "set image":
        return set_image(cluster, ref, order.image, order.container)
    return pause(cluster, ref) if order.action == "pause" else resume(cluster, ref)


def set_image(cluster: Cluster, ref: Ref, image: str, container: str = "") -> Edit:
    """Return the edit that gives a container another image; without its name the workload must have only one."""
    obj = look_at(cluster, ref).object
    containers = mappings(mapping(obj, "spec", "template", "spec"), "containers")
    names = [str(c.get("name")) for c in containers]
    if container and container not in names:
        raise NotFoundError(f"{ref} has no container {container!r}", hint=near_names(container, names))
    if not container and len(names) != 1:
        raise UsageError(f"{ref} has {len(names)} containers", hint=f"name one: {', '.join(names)}")
    index = names.index(container) if container else 0
    before = containers[index].get("image")
    if before == image:
        raise RefusedError(f"{names[index]} of {ref} runs {image} already", hint="there is nothing to change")
    path = f"/spec/template/spec/containers/{index}/image"
    return edit(
        obj,
        ref,
        f"set {names[index]} of {ref} from {before} to {image}",
        [{"op": "replace", "path": path, "value": image}],
    )


def way_back(workload: Workload, order: Order) -> dict[str, Any] | None:
    """Return the order that undoes an order, as it is journalled before the write; None where nothing is to be undone."""
    if order.action == "scale":
        return Order("scale", replicas=mapping(workload.object, "spec").get("replicas", 1)).to_dict()
    if order.action in {"pause", "resume"}:
        return Order("resume" if order.action == "pause" else "pause").to_dict()
    return Order("undo", template_hash=workload.current).to_dict() if workload.current else None


def order_of(saved: Mapping[str, Any]) -> Order:
    """Return an order that was written into a plan or a journal. Raises UsageError for what is none."""
    try:
        return checked_order(Order(**saved))
    except TypeError as error:
        raise UsageError("it is no order that this version can read", hint="plan again") from error
