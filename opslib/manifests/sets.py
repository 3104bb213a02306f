"""A set as somebody names it: where it is read from, how it is released; it can be written down and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opslib.core.errors import UsageError
from opslib.kube import Cluster
from opslib.manifests.images import read_images
from opslib.manifests.load import load_manifests
from opslib.manifests.model import Manifest
from opslib.manifests.plan import MAX_PRUNE, SetPlan, plan_apply


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

    def planned(self, cluster: Cluster, environment: str) -> tuple[tuple[Manifest, ...], SetPlan]:
        """Read the set and plan it. Raises as `load_manifests` and `plan_apply`."""
        images = read_images(Path(self.images)) if self.images else None
        manifests = load_manifests(self.paths, images=images, release=self.name, namespace=cluster.namespace)
        planned = plan_apply(
            cluster,
            manifests,
            environment=environment,
            release=self.name,
            take_over=self.take_over,
            prune_named=self.prune_named,
            max_prune=self.max_prune,
        )
        return manifests, planned
