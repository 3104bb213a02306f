"""The kit as its users have it: an environment file that leads to a cluster."""

from pathlib import Path

from clusters import Cluster

from opslib.core.settings import Settings


def settings_for(cluster: Cluster, namespace: str, root: Path) -> Settings:
    """Write the environment `x` into a folder; return settings that find it there."""
    (root / "opslib.toml").write_text(
        f'[environments.x]\nkubeconfig = "{cluster.kubeconfig}"\nnamespace = "{namespace}"\n'
    )
    return Settings(root)
