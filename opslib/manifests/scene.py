"""What the rules of a check look at: the set, and what the cluster has of what the set refers to.

Objects without a namespace belong to the default one. Where the cluster was not asked, a rule can only say that
something is not in the set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opslib.kube import Object
from opslib.manifests.model import Manifest
from opslib.manifests.pods import mapping, pod_of, template_path

Key = tuple[str, str, str, str]  # group, kind, namespace, name

_OPERATORS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def key_of(body: Object, namespace: str) -> Key:
    metadata = mapping(body, "metadata")
    group = str(body.get("apiVersion", "")).rpartition("/")[0]
    return group, str(body.get("kind")), metadata.get("namespace") or namespace, str(metadata.get("name"))


@dataclass(frozen=True, slots=True)
class Scene:
    """The set and its surroundings; `asked` tells whether the cluster was."""

    manifests: tuple[Manifest, ...]
    namespace: str
    asked: bool
    _objects: Mapping[Key, Object] = field(repr=False)

    @classmethod
    def of(cls, manifests: Iterable[Manifest], namespace: str, existing: Iterable[Object] | None) -> Scene:
        set_ = tuple(manifests)
        objects = {key_of(body, namespace): body for body in existing or ()}
        objects |= {key_of(m.body, namespace): m.body for m in set_}
        return cls(set_, namespace, existing is not None, objects)

    def of_kind(self, *kinds: str) -> Iterator[Manifest]:
        return (m for m in self.manifests if m.body["kind"] in kinds)

    def with_pods(self) -> Iterator[tuple[Manifest, Object]]:
        """Yield the manifests that hold pods, with the pod."""
        return ((m, pod_of(m.body)) for m in self.manifests if template_path(m.body) is not None)

    def namespace_of(self, body: Object) -> str:
        return key_of(body, self.namespace)[2]

    def find(self, group: str, kind: str, beside: Object, name: Any) -> Object | None:
        """Return the object of this name in the namespace of another one."""
        return self._objects.get((group, kind, self.namespace_of(beside), str(name)))

    def selected(self, selector: Any, beside: Object) -> list[Object]:
        """Return the pods, of the set or found in the cluster, that a label selector chooses in a namespace."""
        space = self.namespace_of(beside)
        pods = ((body, pod_of(body)) for body in self._objects.values() if self.namespace_of(body) == space)
        return [pod for _, pod in pods if pod and selects(selector, mapping(pod, "metadata", "labels"))]

    @property
    def where(self) -> str:
        return (
            "neither in the set nor in the cluster"
            if self.asked
            else "not in the set, and the cluster was not asked"
        )


def selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Tell whether a LabelSelector, or a plain mapping of labels as a Service has, chooses these labels."""
    if not isinstance(selector, dict):
        return False
    wanted = mapping(selector, "matchLabels") if _is_label_selector(selector) else selector
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    expressions = selector.get("matchExpressions")
    return all(_holds(e, labels) for e in expressions) if isinstance(expressions, list) else True


def _is_label_selector(selector: Mapping[str, Any]) -> bool:
    return isinstance(selector.get("matchLabels"), dict) or isinstance(selector.get("matchExpressions"), list)


def _holds(expression: Any, labels: Mapping[str, Any]) -> bool:
    if not isinstance(expression, dict):
        return False
    operator = _OPERATORS.get(str(expression.get("operator")))
    values = expression.get("values")
    key = expression.get("key")
    return operator is not None and operator(labels.get(str(key)), values if isinstance(values, list) else [])
