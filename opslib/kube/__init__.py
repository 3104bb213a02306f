"""The Kubernetes API in plain JSON objects: reads, watches, writes, access rights; the only importer of `kubernetes`.

Its names are imported when they are first used: the client takes a third of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opslib.core.lazy import lazy_names

if TYPE_CHECKING:
    from opslib.kube.client import Client
    from opslib.kube.connect import connect_cluster
    from opslib.kube.objects import Kind, Object, Ref, ref_of
    from opslib.kube.protocol import Change, Cluster
    from opslib.kube.secrets import is_secret

_MODULES = {
    "client": ("Client",),
    "connect": ("connect_cluster",),
    "objects": ("Kind", "Object", "Ref", "ref_of"),
    "protocol": ("Change", "Cluster"),
    "secrets": ("is_secret",),
}

__all__ = ["Change", "Client", "Cluster", "Kind", "Object", "Ref", "connect_cluster", "is_secret", "ref_of"]

__getattr__ = lazy_names(__name__, _MODULES)
