"""A set as somebody names it: where it is read from, how it is released; it can be written down and read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from opslib.core.errors import UsageError
from opslib.kube import Cluster, Ref
from opslib.manifests.hashed import KINDS as CONFIGURATION
from opslib.manifests.hashed import Hashed, with_hashed_names
from opslib.manifests.images import read_images
from opslib.manifests.load import load_manifests
from opslib.manifests.model import Manifest
from opslib.manifests.plan import MAX_PRUNE, SetPlan, plan_apply
from opslib.manifests.pods import pod_of
from opslib.manifests.rules_links import references


@dataclass(frozen=True, slots=True)
class PlannedSet:
    """A set as it is applied, and its plan; `in_place` is configuration that changes under pods that run."""

    manifests: tuple[Manifest, ...] = field(repr=False)
    plan: SetPlan
    in_place: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseSet:
    """`paths` are files, folders, Kustomize folders or charts; `images` a JSON file of digests, empty for none."""

    name: str
    paths: tuple[str, ...]
    images: str = ""
    take_over: tuple[str, ...] = ()
    prune_named: tuple[str, ...] = ()
    max_prune: int = MAX_PRUNE

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> ReleaseSet:
        """Return a set that was written down. Raises UsageError."""
        lists = {key: tuple(saved.get(key) or ()) for key in ("paths", "take_over", "prune_named")}
        try:
            return cls(**{**saved, **lists})
        except TypeError as error:
            raise UsageError("it is no set that this version can read", hint="plan again") from error

    def read(self, cluster: Cluster) -> Hashed:
        """Read the set as it is applied, changed configuration under new names. Raises as `load_manifests`."""
        images = read_images(Path(self.images)) if self.images else None
        loaded = load_manifests(self.paths, images=images, release=self.name, namespace=cluster.namespace)
        live = cluster.get_all(_configuration(cluster, loaded))
        return with_hashed_names(loaded, cluster.namespace, lambda *key: live.get(Ref("v1", *key)))

    def planned(self, cluster: Cluster, environment: str) -> PlannedSet:
        """Read the set and plan it. Raises as `load_manifests` and `plan_apply`."""
        hashed = self.read(cluster)
        planned = plan_apply(
            cluster,
            hashed.manifests,
            environment=environment,
            release=self.name,
            take_over=self.take_over,
            prune_named=self.prune_named,
            max_prune=self.max_prune,
            keep=_needed(cluster, hashed.manifests),
        )
        return PlannedSet(hashed.manifests, planned, hashed.in_place)


def _configuration(cluster: Cluster, manifests: Iterable[Manifest]) -> list[Ref]:
    refs = (m.ref for m in manifests if m.ref.api_version == "v1" and m.ref.kind in CONFIGURATION)
    return [replace(ref, namespace=ref.namespace or cluster.namespace) for ref in refs]


def _needed(cluster: Cluster, manifests: Iterable[Manifest]) -> set[tuple[str, str, str]]:
    """Return the configuration that pods, or revisions that can come back, refer to."""
    spaces = {m.ref.namespace or cluster.namespace for m in manifests}
    kinds = [cluster.kind("apps/v1", "ReplicaSet"), cluster.kind("v1", "Pod")]
    bodies = [b for space in sorted(spaces) for kind in kinds for b in cluster.list_objects(kind, space)]
    return {
        (kind, body["metadata"]["namespace"], name)
        for body in bodies
        for kind, name, _, _ in references(pod_of(body))
    }
