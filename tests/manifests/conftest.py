"""Helpers beside the tests, a practice cluster, and the fakes of the room below."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(TESTS / "lab"), str(TESTS / "kube")]

from cluster_server import Practice  # noqa: E402


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    cluster = Practice(tmp_path_factory.mktemp("cluster") / "state").start()
    yield cluster
    cluster.stop()
