"""From an environment to its cluster: by the kubeconfig and context that it names, or as the pod that we run in.

An environment that names neither is never taken to mean whatever context happens to be chosen.
"""

from __future__ import annotations

from pathlib import Path

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import UsageError
from opslib.core.settings import Environment, Settings
from opslib.kube.client import Client
from opslib.kube.protocol import Cluster


def connect_cluster(environment: Environment, settings: Settings, clock: Clock | None = None) -> Cluster:
    """Return a client of the environment's cluster; nothing is asked of it yet.

    Raises:
        UsageError: the environment names no cluster, its kubeconfig cannot be used, or the client is not installed.
    """
    try:
        from opslib.kube import transport  # noqa: PLC0415 - a third of a second
    except ModuleNotFoundError as error:
        raise UsageError(
            "the Kubernetes client is not installed", hint="pip install 'opslib-notebooks[cluster]'"
        ) from error
    named = environment.kube_context or environment.kubeconfig
    if named:
        found = transport.from_kubeconfig(_files(environment, settings), environment.kube_context)
    elif (inside := transport.in_cluster()) is not None:
        found = inside
    else:
        raise UsageError(
            f"the environment {environment.name!r} names no cluster",
            hint='set kube_context = "NAME" or kubeconfig = "FILE" in it',
        )
    reached, namespace = found
    return Client(reached, clock or SystemClock(), namespace=environment.namespace or namespace)


def _files(environment: Environment, settings: Settings) -> str:
    if environment.kubeconfig:
        start = environment.origin.parent if environment.origin else settings.cwd
        return str(start / Path(environment.kubeconfig).expanduser())
    return settings.kubeconfig or str(Path.home() / ".kube" / "config")
