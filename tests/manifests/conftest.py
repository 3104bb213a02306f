"""Helpers beside the tests, a practice cluster, and the fakes of the room below."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(TESTS / "lab"), str(TESTS / "kube")]

from cluster_server import Practice  # noqa: E402

from opslib.core.settings import Environment, Settings  # noqa: E402
from opslib.kube import Client, Ref, connect_cluster  # noqa: E402
from opslib.kube.retry import Retry  # noqa: E402


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    cluster = Practice(tmp_path_factory.mktemp("cluster") / "state").start()
    yield cluster
    cluster.stop()


@pytest.fixture
def api(practice: Practice, tmp_path: Path) -> Iterator[Client]:
    """A client, its retries short, in a namespace of the test's own; faults end with it."""
    space = f"manifests-{uuid.uuid4().hex[:8]}"
    environment = Environment("x", kubeconfig=str(practice.kubeconfig), namespace=space)
    client = connect_cluster(environment, Settings(tmp_path))
    client._retry = Retry(first_s=0.01, longest_s=0.05, budget_s=5)
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    yield client
    practice.call("DELETE", "/practice/faults")
    client.delete(
        Ref("v1", "Namespace", "", space),
        uid=client.get(Ref("v1", "Namespace", "", space))["metadata"]["uid"],
    )
