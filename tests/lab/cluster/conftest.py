"""One practice cluster for all tests that talk to it with real clients; each takes a namespace of its own."""

from collections.abc import Iterator

import pytest
from cluster_server import Practice


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    cluster = Practice(tmp_path_factory.mktemp("cluster") / "state").start()
    yield cluster
    cluster.stop()
