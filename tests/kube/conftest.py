"""A practice cluster for the tests that need one, and helpers beside the tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "lab")]

from cluster_server import Practice  # noqa: E402


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    cluster = Practice(tmp_path_factory.mktemp("cluster") / "state").start()
    yield cluster
    cluster.stop()
