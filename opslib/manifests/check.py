"""The check before a plan: one table of rules, each a pure function from the set to its evidence.

A check reports; whether a flaw stops a change is its severity, which the caller may set rule by rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from opslib.core.errors import UsageError, near_names
from opslib.core.words import printable
from opslib.kube import Object, Ref
from opslib.manifests import rules_links as links
from opslib.manifests import rules_pods as pods
from opslib.manifests.model import Manifest
from opslib.manifests.pods import mapping
from opslib.manifests.scene import Scene

WAIVE = "opslib/waive."
Severity = Literal["error", "warning", "info", "off"]
_ORDER = {severity: n for n, severity in enumerate(get_args(Severity))}


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    id: str
    severity: Severity
    look: Callable[[Scene], pods.Evidence]
    fix: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """What a rule found in one object: the evidence, and what mends it."""

    rule: str
    severity: Severity
    object: Ref
    source: str
    evidence: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity} {self.rule}: {self.object} ({self.source}): {self.evidence}; {self.fix}"


RULES: tuple[Rule, ...] = (
    Rule("resources-missing", "warning", pods.resources_missing, "set requests for cpu and memory, a limit for memory"),
    Rule("resources-absurd", "error", pods.resources_absurd, "write cpu as 500m and memory as 256Mi, limits above requests"),
    Rule("readiness-missing", "error", pods.readiness_missing, "add a readinessProbe, or calls meet pods that still start"),
    Rule("image-latest", "error", pods.image_latest, "name a version, better the digest that the image step wrote"),
    Rule("image-not-pinned", "warning", pods.image_not_pinned, "add the digest: NAME:TAG@sha256:..."),
    Rule("secret-in-plain", "error", pods.secret_in_plain, "move it to a Secret and refer to it by secretKeyRef"),
    Rule("selector-matches-nothing", "error", links.selector_matches_nothing, "make selector and labels of the pods alike"),
    Rule("service-port-missing", "error", links.service_port_missing, "name a containerPort, or its name, as targetPort"),
    Rule("ingress-service-missing", "error", links.ingress_service_missing, "add the Service, or correct name and port"),
    Rule("budget-missing", "warning", links.budget_missing, "add a PodDisruptionBudget with maxUnavailable: 1"),
    Rule("reference-missing", "error", links.reference_missing, "add it to the set, or create it before"),
    Rule("pull-secret-missing", "warning", links.pull_secret_missing, "name an imagePullSecret that knows the registry"),
    Rule("autoscaler-without-requests", "error", pods.autoscaler_without_requests, "set requests: use is counted in them"),
    Rule("privileged", "error", pods.privileged, "leave it out, unless the workload manages nodes"),
    Rule("runs-as-root", "warning", pods.runs_as_root, "set runAsNonRoot: true, and a user in the image"),
)  # fmt: skip


def in_place_flaws(manifests: Iterable[Manifest]) -> tuple[Flaw, ...]:
    """Return the finding for configuration that is changed under running pods, since others know it by name."""
    evidence = "its values change under pods that run: old pods get them at their next restart, and so would a rollback"
    fix = "restart its workloads afterwards, or let it have a new name: take out `opslib/in-place`"
    return tuple(Flaw("changed-in-place", "warning", m.ref, m.source, evidence, fix) for m in manifests)


def _flaw(rule: Rule, severity: Severity, manifest: Manifest, evidence: str) -> Flaw:
    """Return a flaw; one that the object waives, with its reason, is told and weighs nothing."""
    waived = mapping(manifest.body, "metadata", "annotations").get(WAIVE + rule.id)
    if waived:
        severity, evidence = "info", f"{evidence} (waived: {waived})"
    return Flaw(rule.id, severity, manifest.ref, manifest.source, printable(evidence, 400), rule.fix)


def check_manifests(
    manifests: Iterable[Manifest],
    *,
    namespace: str = "default",
    existing: Iterable[Object] | None = None,
    severities: Mapping[str, Severity] | None = None,
) -> tuple[Flaw, ...]:
    """Return what is wrong with a set, the worst first, then in the order of the files.

    Args:
        manifests: the set.
        namespace: where objects belong that name no namespace.
        existing: what the cluster has of what the set refers to (`find_surroundings`); None where it was not asked.
        severities: rule -> severity, for rules that shall weigh otherwise; `off` leaves one out. An object waives a
            rule for itself by the annotation `opslib/waive.RULE`, whose value is the reason.

    Raises:
        UsageError: there is no such rule or severity.
    """
    chosen = {rule.id: rule.severity for rule in RULES} | dict(severities or {})
    for rule_id, severity in chosen.items():
        if rule_id not in {rule.id for rule in RULES}:
            raise UsageError(f"there is no rule {rule_id!r}", hint=near_names(rule_id, (r.id for r in RULES)))
        if severity not in _ORDER:
            raise UsageError(f"{severity!r} is no severity", hint=f"one of {', '.join(_ORDER)}")
    scene = Scene.of(manifests, namespace, existing)
    found = [
        _flaw(rule, chosen[rule.id], manifest, evidence)
        for rule in RULES
        if chosen[rule.id] != "off"
        for manifest, evidence in rule.look(scene)
    ]
    place = {manifest.ref: n for n, manifest in enumerate(scene.manifests)}
    return tuple(sorted(found, key=lambda flaw: (_ORDER[flaw.severity], place[flaw.object], flaw.rule)))
