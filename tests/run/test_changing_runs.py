"""The runbooks that change something, headless as CI runs them, on a practice cluster: exit codes, tokens, stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lab")]

from cluster_server import Practice, until  # noqa: E402

pytestmark = [pytest.mark.lab, pytest.mark.kernel, pytest.mark.timeout(300)]

SECRET = "sesame-sesame-sesame"


def bodies(image: str = "web:v1", path: str = "/") -> list[dict]:
    probe = {"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1}
    source = {"secretRef": {"name": "key"}}
    resources = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
    container = {
        "name": "web",
        "image": image,
        "ports": [{"containerPort": 8080}],
        "readinessProbe": probe,
        "envFrom": [source],
        "resources": resources,
    }
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "key", "namespace": "web"},
            "stringData": {"WORD": SECRET},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "web"},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
    ]


class Ci:
    """A CI job: a folder with an environment and a set, and the command line."""

    def __init__(self, practice: Practice, folder: Path) -> None:
        self.practice, self.folder = practice, folder
        (folder / "opslib.toml").write_text(
            f'[environments.x]\nkubeconfig = "{practice.kubeconfig}"\nnamespace = "web"\n'
        )

    def write(self, *documents: dict) -> None:
        (self.folder / "set.yaml").write_text(yaml.safe_dump_all(documents))

    def start(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "opslib", *words]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OPSLIB_")}
        return subprocess.Popen(
            command, cwd=self.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def opslib(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said, _ = process.communicate(timeout=120)
        assert SECRET not in said
        return process.returncode, said

    def apply(self, *words: str) -> tuple[int, str]:
        return self.opslib(*self.words, *words)

    # Images of the practice cluster have no digests, and what runs them is no server for the world.
    words = ("run", "apply_manifests", "--environment", "x", "-p", "path=set.yaml", "-p", "release=web")

    @property
    def last(self) -> Path:
        return max((self.folder / "runs").iterdir())

    def token(self) -> str:
        return json.loads((self.last / "plan.json").read_text())["token"]

    def image(self) -> str:
        found = self.practice.call("GET", "/apis/apps/v1/namespaces/web/deployments/web")[1]
        return found["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture(scope="module")
def ci(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ci]:
    practice = Practice(tmp_path_factory.mktemp("cluster") / "state").start()
    try:
        made = Ci(practice, tmp_path_factory.mktemp("ci"))
        made.write(*bodies())
        code, said = made.apply("--approve", "any")
        assert code == 0, said
        yield made
    finally:
        practice.stop()


def test_a_plan_is_approved_by_its_token_once_it_is_still_true(ci: Ci) -> None:
    ci.write(*bodies("web:v2"))
    code, said = ci.apply()
    record = json.loads((ci.last / "run.json").read_text())
    assert (code, record["outcome"], ci.image()) == (0, "planned", "web:v1")
    token = ci.token()
    assert ci.apply("--approve", "0" * 24)[0] == 2

    assert ci.apply("--approve", token)[0] == 0
    assert ci.image() == "web:v2"
    body = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:v1"}]
    path = "/apis/apps/v1/namespaces/web/deployments/web"
    ci.practice.call("PATCH", path, body, Content_Type="application/json-patch+json")
    code, said = ci.apply("--approve", token)

    assert (code, ci.image()) == (3, "web:v1"), said


def test_what_does_not_come_up_goes_back_with_exit_code_5_and_says_why(ci: Ci) -> None:
    """Also fields that somebody else had set, and that the set took over."""
    before = ci.image()
    ci.write(*bodies("web:nope"))
    code, said = ci.apply("--approve", "any")
    assert (code, ci.image()) == (3, before), "somebody else's image is not overwritten unasked"
    (owner,) = {
        word.strip("\"',") for word in said.split() if "urllib" in word or word.strip("\"',") == "unknown"
    }
    code, said = ci.apply("-p", f"take_over={owner}", "--approve", "any")

    assert (code, ci.image()) == (5, before), said
    assert "ErrImagePull" in said
    assert "ROLLED BACK" in (ci.last / "summary.md").read_text()


def test_a_run_that_is_stopped_takes_its_change_back(ci: Ci) -> None:
    ci.write(*bodies("web:v2"))
    assert ci.apply("-p", "take_over=unknown", "--approve", "any")[0] == 0
    stuck = bodies("web:v1")
    stuck[2]["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] = 9
    ci.write(*stuck)
    earlier, process = ci.last, ci.start(*ci.words, "--approve", "any")

    def waiting() -> bool:
        journal = ci.last / "journal.jsonl"
        return ci.last != earlier and journal.exists() and '"waiting"' in journal.read_text()

    try:
        until(waiting, 60)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    record = json.loads((ci.last / "run.json").read_text())

    assert process.returncode == 143, said
    assert record["outcome"] == "rolled_back"
    assert ci.image() == "web:v2"


def test_a_change_is_undone_by_the_id_of_its_run(ci: Ci) -> None:
    before = ci.image()
    other = "web:v1" if before == "web:v2" else "web:v2"
    words = (
        "run",
        "roll_out_update",
        "--environment",
        "x",
        "-p",
        "workload=deploy/web",
        "-p",
        "action=set image",
    )
    assert ci.opslib(*words, "-p", f"image={other}", "--approve", "any")[0] == 0
    assert ci.image() == other
    code, said = ci.opslib("runs", "rollback", ci.last.name)

    assert (code, ci.image()) == (0, before), said
    assert ci.opslib("runs", "resume", ci.last.name)[0] == 3


def test_a_change_whose_driver_died_goes_on_by_the_id_of_its_run(ci: Ci) -> None:
    other = "web:v1" if ci.image() == "web:v2" else "web:v2"
    ci.write(*bodies(other))
    earlier, process = ci.last, ci.start(*ci.words, "-p", "take_over=unknown", "--approve", "any")

    def driver() -> int | None:
        journal = ci.last / "journal.jsonl"
        lines = journal.read_text().splitlines() if ci.last != earlier and journal.exists() else []
        return next((json.loads(line)["pid"] for line in lines if '"waiting"' in line), None)

    try:
        os.kill(until(driver, 60), signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 4, said
    code, said = ci.opslib("runs", "resume", ci.last.name)

    assert (code, ci.image()) == (0, other), said
    assert ci.opslib("runs", "resume", ci.last.name)[0] == 3, "it has ended"


def test_no_value_of_a_secret_is_written_anywhere(ci: Ci) -> None:
    written = [p for p in (ci.folder / "runs").rglob("*") if p.is_file()]

    assert len(written) > 20
    assert not [path for path in written if SECRET in path.read_text(errors="replace")]
