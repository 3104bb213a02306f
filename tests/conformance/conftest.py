"""The same tests on the practice cluster and on a real Kubernetes; OPSLIB_TEST_KUBECONFIG names one of the user's own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the tests' own helpers
sys.path.insert(0, str(HERE.parent / "lab"))

from cluster_server import Practice  # noqa: E402
from clusters import IMAGE, Cluster, Namespace, namespace  # noqa: E402

STACK = HERE.parent / "stack/kubernetes"


@dataclass
class ApiServer:
    """The real one, by the folder that `up` runs it in; `up` leaves alone what runs still."""

    run: Path

    def kill(self) -> None:
        os.kill(int((self.run / "pid/kube-apiserver").read_text().split()[0]), signal.SIGKILL)

    def start(self) -> None:
        subprocess.run([STACK / "up"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    images = {IMAGE.rpartition(":")[0]: {"command": [sys.executable], "tags": ["3.11", "3.11-again"]}}
    started = Practice(tmp_path_factory.mktemp("conformance") / "state", images=images).start()
    yield Cluster("practice", started.kubeconfig, started.state / "host", started)
    started.stop()


@pytest.fixture(scope="session")
def real() -> Iterator[Cluster]:
    given = os.environ.get("OPSLIB_TEST_KUBECONFIG")
    if given:
        yield Cluster("real", Path(given))
        return
    if os.geteuid() != 0:
        pytest.skip("a real Kubernetes needs root, or OPSLIB_TEST_KUBECONFIG")
    started = subprocess.run([STACK / "up"], check=True, stdout=subprocess.PIPE, text=True)
    kubeconfig = Path(started.stdout.strip())
    yield Cluster("real", kubeconfig, Path("/"), ApiServer(kubeconfig.parents[1]))
    subprocess.run([STACK / "down"], check=True)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("practice", marks=pytest.mark.lab),
        pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(3600)]),  # it may be built first
    ],
)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(request.param)


@pytest.fixture
def ns(cluster: Cluster) -> Iterator[Namespace]:
    with namespace(cluster) as made:
        yield made
