"""`python -m opslib.manifests.driver FOLDER`: the process that carries a change out, whatever becomes of who watches it.

The folder holds the order (`change.json`: environment and how long to wait) and the approved plan. The driver holds the
folder's lock, writes its journal and looks for intents; its last line says how the change ended. Started on a change that
was cut off, it takes the way back that the journal names, or goes on where that was asked for and nothing is in the way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opslib.core.changes import ASKED_BACK, ASKED_ON, Journal, driving, ending, journal_lines
from opslib.core.clock import SystemClock
from opslib.core.errors import OpslibError, RefusedError, UsageError
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan
from opslib.core.redact import Redactor
from opslib.core.settings import Settings, load_environment
from opslib.kube import Cluster, Ref, connect_cluster
from opslib.manifests import resuming, updating
from opslib.manifests.leases import locked
from opslib.manifests.releasing import Release, go_back, release
from opslib.manifests.sets import ReleaseSet
from opslib.manifests.updating import Ended, Way, roll_back, update
from opslib.manifests.waiting import Wait

CHANGE = "change.json"


def main(folder: Path) -> int:
    """Drive the change of a folder to its end; return 0 where its journal says how it ended."""
    # A terminal's Ctrl-C is for who watches; what is asked of the driver comes as an intent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with driving(folder):
        if ending(folder) is not None:
            return 0
        journal = Journal(folder, SystemClock())
        journal.write("driving")
        try:
            ended = _driven(folder, journal)
        except OpslibError as error:
            outcome = Outcome.REFUSED if isinstance(error, RefusedError) else Outcome.ERROR
            ended = Ended(_phase(folder), outcome, str(error), {"hint": error.hint})
        except Exception as error:  # noqa: BLE001 - whatever breaks here, who watches must learn it
            ended = Ended(_phase(folder), Outcome.ERROR, f"{type(error).__name__}: {error}")
        said = Redactor().data({"summary": ended.summary, "details": dict(ended.details)})
        journal.write(ended.phase, outcome=str(ended.outcome), **said)
    return 0


def _phase(folder: Path) -> str:
    """Return how a change ends that an error cuts off: nothing was begun, or somebody has to go back."""
    begun = any(line["phase"] == "began" for line in journal_lines(folder))
    return "rollback_failed" if begun else "aborted"


def _driven(folder: Path, journal: Journal) -> Ended:
    order = read_change(folder)
    settings = Settings.from_dict(order["settings"])
    cluster = connect_cluster(load_environment(order["environment"], settings), settings)
    way = Way(cluster, folder, journal, SystemClock(), Wait(deadline_s=float(order["deadline_s"])))
    lines = journal_lines(folder)
    begun = next((line for line in lines if line["phase"] == "began"), None)
    if begun is not None:
        asked = lines[-2]["phase"]  # the last line is our own
        if asked == ASKED_ON and not any(line["phase"] == "rolling_back" for line in lines):
            return _gone_on(way, begun, order)
        # The change that was cut off holds its locks still; its next driver has the same name and takes them again.
        with locked(cluster, map(Ref.of_identity, begun["workloads"]), folder.name, way.clock):
            return _back(way, begun, "it was asked for" if asked == ASKED_BACK else "it was cut off")
    plan = Plan.from_dict(order["plan"])
    _refuse_other(cluster, plan)
    return release(way, plan, _release(way, plan, order)) if "set" in order else update(way, plan)


def _back(way: Way, begun: Mapping[str, Any], reason: str) -> Ended:
    if begun["kind"] == "release":
        return go_back(way, begun["back"], reason)
    return roll_back(way, Ref.of_identity(begun["object"]), begun["back"], reason)


def _gone_on(way: Way, begun: Mapping[str, Any], order: Mapping[str, Any]) -> Ended:
    try:
        plan = Plan.from_dict(order["plan"])
        _refuse_other(way.cluster, plan)
        with locked(way.cluster, map(Ref.of_identity, begun["workloads"]), way.folder.name, way.clock):
            if begun["kind"] == "release":
                return resuming.go_on(way, plan, ReleaseSet.from_dict(order["set"]), begun)
            return updating.go_on(way, plan, begun["back"])
    except OpslibError as error:
        outcome = Outcome.REFUSED if isinstance(error, RefusedError) else Outcome.ERROR
        text = f"it does not go on: {error}; go back instead: opslib runs rollback {way.folder.name}"
        return Ended("not_resumed", outcome, text)


def _release(way: Way, plan: Plan, order: Mapping[str, Any]) -> Release:
    """Read the set of a release again, and plan it again: it must come to what was approved."""
    release_set = ReleaseSet.from_dict(order["set"])
    planned = release_set.planned(way.cluster, order["environment"])
    if planned.plan.plan.token != plan.token:
        raise RefusedError("the set, or what it would change, is not what was planned", hint="plan again")
    if planned.plan.blocked:
        raise RefusedError(str(planned.plan.blocked[0]), hint="settle that, then plan again")
    return Release(release_set.name, planned.manifests, planned.plan)


def _refuse_other(cluster: Cluster, plan: Plan) -> None:
    if cluster.identity() != plan.cluster:
        raise UsageError(
            "the environment leads to another cluster than the plan was made for", hint="plan again"
        )


def read_change(folder: Path) -> Mapping[str, Any]:
    """Return a change's order. Raises UsageError."""
    try:
        content = json.loads((folder / CHANGE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder.name} holds no change that can be driven: {error}") from error
    if not isinstance(content, dict) or not {"plan", "environment", "settings", "deadline_s"} <= set(content):
        raise UsageError(
            f"{folder.name} holds no change of this version", hint="use the opslib that wrote it"
        )
    return content


if __name__ == "__main__":
    if os.fork() == 0:  # nobody's child: who starts it may end, and never has to wait for it
        sys.exit(main(Path(sys.argv[1])))
