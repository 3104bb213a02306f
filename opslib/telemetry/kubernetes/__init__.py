"""Changes and warnings as Kubernetes itself knows them: a ChangeSource over one namespace of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opslib.core.errors import UsageError

if TYPE_CHECKING:
    from opslib.core.clock import Clock
    from opslib.core.settings import Environment, SourceSettings
    from opslib.telemetry.kubernetes.source import KubernetesChanges


def connect(
    settings: SourceSettings, environment: Environment, where: str, clock: Clock
) -> KubernetesChanges:
    """Return the changes of the environment's cluster and namespace: `{kind = "kubernetes"}`, without options.

    Raises UsageError where the environment names no cluster.
    """
    from opslib.core.settings import Settings  # noqa: PLC0415
    from opslib.kube import connect_cluster  # noqa: PLC0415 - the rows alone need neither this nor pandas
    from opslib.telemetry.kubernetes.source import KubernetesChanges  # noqa: PLC0415

    if settings.options or settings.url:
        raise UsageError(
            f"{where}: kind kubernetes has no options",
            hint="kubeconfig, kube_context and namespace of the environment say which cluster",
        )
    cluster = connect_cluster(environment, Settings.from_environ(), clock)
    return KubernetesChanges(cluster, environment.services, clock)
