"""kubectl against the practice cluster: the commands that people and pipelines use, unchanged."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_server import Practice, until

KUBECTL = shutil.which("kubectl")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on this machine"),
]

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:v1
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""


class Kubectl:
    """Runs kubectl in one namespace; the answer is its output, `fail` is for what must not succeed."""

    def __init__(self, practice: Practice, namespace: str, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(practice.kubeconfig),
            "KUBECACHEDIR": str(folder / "cache"),
        }

    def run(self, command: str, manifest: str = "") -> subprocess.CompletedProcess:
        words = [KUBECTL, "-n", self.namespace, *command.split()]
        return subprocess.run(
            words, input=manifest, capture_output=True, text=True, timeout=90, env=self._environ, check=False
        )

    def __call__(self, command: str, manifest: str = "") -> str:
        done = self.run(command, manifest)
        assert done.returncode == 0, f"kubectl {command}: {done.stderr}"
        return done.stdout

    def fail(self, command: str, manifest: str = "", code: int = 1) -> str:
        done = self.run(command, manifest)
        assert done.returncode == code, f"kubectl {command}: {done.stdout} {done.stderr}"
        return done.stderr + done.stdout

    def json(self, command: str) -> dict:
        return json.loads(self(f"{command} -o json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kubectl")


@pytest.fixture
def kubectl(practice: Practice, folder: Path) -> Iterator[Kubectl]:
    found = Kubectl(practice, f"k-{uuid.uuid4().hex[:8]}", folder)
    found(f"create namespace {found.namespace}")
    yield found
    found(f"delete namespace {found.namespace} --wait=false")


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """A namespace with a Deployment of two pods that run, and its Service."""
    kubectl("apply -f -", WEB)
    kubectl("rollout status deploy/web --timeout=60s")
    return kubectl


def test_what_there_is(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources --no-headers")
    assert {line.split()[0] for line in listed.splitlines()} >= {
        "pods",
        "deployments",
        "horizontalpodautoscalers",
    }
    assert "deploy" in listed
    assert "practice" in kubectl("version")
    assert "Ready" in kubectl("get nodes -o wide")
    assert "apps/v1" in kubectl("api-versions").split()
    assert "Deployment" in kubectl("explain deployment")
    assert "is running at" in kubectl("cluster-info")


def test_generators_send_protobuf(kubectl: Kubectl) -> None:
    kubectl("create configmap c --from-literal=a=1")
    kubectl("create secret generic s --from-literal=password=x")
    kubectl("create serviceaccount robot")
    assert kubectl("get cm c -o jsonpath={.data.a}") == "1"
    assert kubectl("get secret s -o jsonpath={.data.password}") == "eA=="
    assert kubectl("create token robot --duration=20m").count(".") == 2
    assert "already exists" in kubectl.fail("create configmap c --from-literal=a=1")
    other = kubectl.run("create deployment d --image=web:v1")  # JSON from old clients, protobuf from new ones
    assert other.returncode == 0 or "unknown format" in other.stderr


def test_get_in_all_forms(web: Kubectl) -> None:
    header, *rows = web("get pods -o wide --show-labels").splitlines()
    assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert all(row.split()[1:3] == ["1/1", "Running"] and "app=web" in row for row in rows)
    assert len(rows) == 2
    assert "pod/web-" in web("get all")
    assert web("get pods -l app=web -o name --chunk-size=1").count("pod/web-") == 2
    assert "No resources found" in web.run("get pods -l app!=web").stderr
    assert web("get deploy web -o jsonpath={.status.readyReplicas}") == "2"
    assert web("get pods --sort-by=.metadata.name --no-headers").count("Running") == 2
    assert web("get pods --field-selector=status.phase=Running -o name").count("pod/") == 2
    assert web("get pods -A --no-headers").count("web-") >= 2
    assert "NotFound" in web.fail("get pod nothing")
    assert "doesn't have a resource type" in web.fail("get nonsense")
    assert web("get deploy,svc,endpointslices --no-headers").count("web") >= 3


def test_apply_diff_and_change_nothing(kubectl: Kubectl) -> None:
    assert "+  name: web" in kubectl.fail("diff -f -", WEB)
    assert "created (server dry run)" in kubectl("apply --dry-run=server -f -", WEB)
    assert "created" in kubectl("apply -f -", WEB)
    assert "deployment.apps/web unchanged" in kubectl("apply -f -", WEB)
    assert kubectl("diff -f -", WEB) == ""
    difference = kubectl.fail("diff -f -", WEB.replace("web:v1", "web:v2")).splitlines()
    assert [line.split() for line in difference if "image:" in line] == [
        ["-", "-", "image:", "web:v1"],
        ["+", "-", "image:", "web:v2"],
    ]
    assert "deployment.apps/web configured" in kubectl(
        "apply -f -", WEB.replace("replicas: 2", "replicas: 1")
    )
    assert kubectl("get deploy web -o jsonpath={.spec.replicas}") == "1"


def test_apply_on_the_server_and_conflicts(kubectl: Kubectl) -> None:
    assert "serverside-applied" in kubectl("apply --server-side -f -", WEB)
    kubectl("scale deploy web --replicas=1")
    refused = kubectl.fail("apply --server-side --field-manager=ci -f -", WEB)
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in refused
    kubectl("apply --server-side --field-manager=ci --force-conflicts -f -", WEB)
    assert kubectl("get deploy web -o jsonpath={.spec.replicas}") == "2"
    managers = kubectl.json("get deploy web --show-managed-fields")["metadata"]["managedFields"]
    assert {m["manager"] for m in managers if m["operation"] == "Apply"} == {"ci", "kubectl"}
    assert kubectl("diff --server-side --field-manager=ci -f -", WEB) == ""


def test_what_was_applied_by_the_client_moves_to_the_server(kubectl: Kubectl) -> None:
    kubectl("apply -f -", WEB)
    kubectl("apply --server-side -f -", WEB)
    managers = kubectl.json("get deploy web --show-managed-fields")["metadata"]["managedFields"]
    assert "kubectl-client-side-apply" not in {m["manager"] for m in managers}


def test_validation_names_the_field(kubectl: Kubectl) -> None:
    wrong = WEB.replace("replicas: 2", "replicaz: 2")
    assert 'strict decoding error: unknown field "spec.replicaz"' in kubectl.fail("create -f -", wrong)
    assert "unknown field" in kubectl.run("apply --validate=warn --dry-run=server -f -", wrong).stderr
    typed = WEB.replace("replicas: 2", "replicas: two")
    assert "cannot unmarshal string" in kubectl.fail("apply -f -", typed)
    other = WEB.replace("matchLabels: {app: web}", "matchLabels: {app: other}")
    assert "`selector` does not match template `labels`" in kubectl.fail("apply -f -", other)


def test_a_rollout_forward_and_back(web: Kubectl) -> None:
    web("set image deploy/web web=web:v2")
    web("annotate deploy web kubernetes.io/change-cause=v2")
    assert "successfully rolled out" in web("rollout status deploy/web --timeout=60s")
    assert {line.split()[0] for line in web("rollout history deploy/web").splitlines()[2:] if line} == {
        "1",
        "2",
    }
    assert "web:v2" in web("rollout history deploy/web --revision=2")
    web("rollout undo deploy/web")
    web("rollout status deploy/web --timeout=60s")
    assert web("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}") == "web:v1"
    web("rollout pause deploy/web")
    assert "can't restart paused deployment" in web.fail("rollout restart deploy/web")
    web("rollout resume deploy/web")
    web("rollout restart deploy/web")
    web("rollout status deploy/web --timeout=60s")
    assert len(web.json("get rs")["items"]) >= 2


def test_a_bad_image_is_seen(web: Kubectl) -> None:
    web('patch deploy web -p {"spec":{"progressDeadlineSeconds":2}}')
    web("set image deploy/web web=web:nosuch")
    assert "exceeded its progress deadline" in web.fail("rollout status deploy/web --timeout=60s")
    assert "ErrImagePull" in web("get events") or "ImagePullBackOff" in web("get pods")
    assert web("get deploy web -o jsonpath={.status.availableReplicas}") == "2"


def test_scale_label_annotate_patch_set(web: Kubectl) -> None:
    web("scale deploy web --replicas=1 --current-replicas=2")
    assert "Expected replicas to be 2, was 1" in web.fail(
        "scale deploy web --replicas=3 --current-replicas=2"
    )
    web("label deploy web tier=front")
    web("label deploy web tier-")
    assert "already has a value" in web.fail("label deploy web app=other")
    web("annotate deploy web note=x --overwrite")
    web("set env deploy/web MODE=test")
    web("set resources deploy/web --limits=cpu=200m,memory=64Mi")
    web('patch deploy web --type=json -p [{"op":"replace","path":"/spec/replicas","value":2}]')
    web('patch deploy web --type=merge -p {"metadata":{"labels":{"by":"merge"}}}')
    deploy = web.json("get deploy web")
    assert deploy["spec"]["replicas"] == 2
    assert deploy["metadata"]["labels"] == {"app": "web", "by": "merge"}
    assert deploy["metadata"]["annotations"]["note"] == "x"
    container = deploy["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "MODE", "value": "test"}]
    assert container["resources"]["limits"] == {"cpu": "200m", "memory": "64Mi"}


def test_describe_logs_and_events(web: Kubectl) -> None:
    assert "NewReplicaSet:   web-" in web("describe deploy web")
    assert "Scheduled" in web("describe pods")
    assert "8080" in web("describe svc web")
    assert "practice" in web("describe node practice")
    assert web.namespace in web(f"describe ns {web.namespace}")
    assert "listening" in web("logs deploy/web")
    assert web("logs -l app=web --tail=1").count("\n") == 2
    assert "is not valid for pod" in web.fail("logs deploy/web -c nothing")
    assert "previous terminated container" in web.fail("logs deploy/web --previous")
    assert "ScalingReplicaSet" in web("events --for deployment/web")
    assert "Started" in web("get events --field-selector=involvedObject.kind=Pod")


def test_wait_and_delete(web: Kubectl) -> None:
    web("wait --for=condition=Available deploy/web --timeout=30s")
    web("wait --for=jsonpath={.status.readyReplicas}=2 deploy/web --timeout=30s")
    web("wait --for=condition=Ready pod -l app=web --timeout=30s")
    web("delete pod -l app=web --timeout=60s")
    web("rollout status deploy/web --timeout=60s")
    web("delete deploy web --cascade=foreground --timeout=60s")
    web("wait --for=delete pod -l app=web --timeout=60s")
    web("create configmap c --from-literal=a=1")
    web("delete cm c")
    web("create configmap c --from-literal=a=1")
    assert "timed out" in web.fail("wait --for=jsonpath={.data.a}=2 cm/c --timeout=1s")
    assert "NotFound" in web.fail("delete deploy web")


def test_run_expose_and_replace(kubectl: Kubectl) -> None:
    kubectl("run solo --image=web:v1 --port=8080")
    kubectl("wait --for=condition=Ready pod/solo --timeout=30s")
    kubectl("expose pod solo --port=80 --target-port=8080")
    kubectl("get endpointslices -l kubernetes.io/service-name=solo")
    kubectl("apply -f -", WEB)
    assert "replaced" in kubectl("replace -f -", WEB.replace("replicas: 2", "replicas: 0"))
    kubectl("delete pod solo --force")
    assert "AlreadyExists" in kubectl.fail("create -f -", WEB)


def test_who_may_what(kubectl: Kubectl) -> None:
    kubectl("create sa robot")
    account = f"system:serviceaccount:{kubectl.namespace}:robot"
    assert kubectl("auth can-i create deployments").strip() == "yes"
    assert kubectl.fail(f"auth can-i get cm/a --as={account}").strip() == "no"
    kubectl("apply -f -", ROLE.replace("NAMESPACE", kubectl.namespace))
    assert kubectl(f"auth can-i get cm/a --as={account}").strip() == "yes"
    assert kubectl.fail(f"auth can-i get cm/b --as={account}").strip() == "no"
    assert f'User "{account}" cannot list resource "pods"' in kubectl.fail(f"get pods --as={account}")


ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], resourceNames: [a], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: robot, namespace: NAMESPACE}]
"""

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.NAMESPACE.example.com}
spec:
  group: NAMESPACE.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1}
              color: {type: string, default: red}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
WIDGET = """
apiVersion: NAMESPACE.example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: SIZE}
"""


def test_custom_resources(kubectl: Kubectl) -> None:
    def filled(text: str, size: int = 3) -> str:
        return text.replace("NAMESPACE", kubectl.namespace).replace("SIZE", str(size))

    kubectl("apply -f -", filled(CRD))
    name = filled("widgets.NAMESPACE.example.com")
    kubectl(f"wait --for=condition=Established crd/{name} --timeout=30s")
    kubectl("apply -f -", filled(WIDGET))
    assert kubectl("get wd").splitlines()[1].split() == ["w", "3"]
    assert kubectl("get widget w -o jsonpath={.spec.color}") == "red"
    assert "should be greater than or equal to 1" in kubectl.fail("apply -f -", filled(WIDGET, 0))
    assert "serverside-applied" in kubectl("apply --server-side --force-conflicts -f -", filled(WIDGET, 4))
    kubectl(f"delete crd {name} --timeout=30s")
    assert "doesn't have a resource type" in kubectl.fail(
        "get wd --cache-dir=" + str(kubectl.folder / "fresh")
    )


def test_jobs_and_autoscalers(kubectl: Kubectl) -> None:
    kubectl("apply -f -", JOB)
    kubectl("wait --for=condition=Complete job/once --timeout=60s")
    assert kubectl("logs job/once") == "done\n"
    assert kubectl("get jobs --no-headers").split()[:3] == ["once", "Complete", "1/1"]
    kubectl("delete job once")
    until(lambda: kubectl("get pods -o name") == "")
    kubectl("apply -f -", WEB + HPA)
    assert kubectl("get hpa --no-headers").split()[:2] == ["web", "Deployment/web"]


JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: once}]}}}
"""
HPA = """
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
"""


@pytest.mark.parametrize(
    "command", ["exec POD -- true", "attach POD", "port-forward POD 0:8080", "cp POD:/x x"]
)
def test_what_is_not_imitated_says_so(web: Kubectl, command: str) -> None:
    pod = web("get pods -o jsonpath={.items[0].metadata.name}")
    assert "practice cluster does not imitate" in web.fail(command.replace("POD", pod))


def test_a_namespace_goes_with_all_that_is_in_it(web: Kubectl, practice: Practice) -> None:
    other = Kubectl(practice, f"{web.namespace}-x", web.folder)
    other(f"create ns {other.namespace}")
    other("apply -f -", WEB)
    other(f"delete ns {other.namespace} --timeout=60s")
    assert "not found" in other.fail(f"get ns {other.namespace}")
    assert web("get pods -o name").count("pod/web") == 2


def test_get_watches(web: Kubectl) -> None:
    header, added, *_ = web("get deploy web -w --output-watch-events --request-timeout=2s").splitlines()
    assert header.split()[0] == "EVENT"
    assert added.split()[:3] == ["ADDED", "web", "2/2"]
