"""What a change will do, before it does it: steps with their preconditions, and the token that approves exactly these.

The digest covers environment, cluster, and of each step the object, what will be written and what must still be true.
What is only shown (evidence, diffs, forecasts) and when and by which run it was made is not in it, so that the same
intention on the same cluster has the same token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opslib.core.errors import RefusedError, UsageError
from opslib.core.words import printable

SCHEMA = 1
ANY = "any"
_TOKEN_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Step:
    """One write. `expects` holds the uid and the prior values of the fields that change, or that there is nothing."""

    action: str
    object: str
    patch: Any
    expects: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "object": self.object,
            "patch": self.patch,
            "expects": dict(self.expects),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in their order; `shown` is for people and may hold anything that JSON can."""

    environment: str
    cluster: str
    steps: tuple[Step, ...]
    shown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The first 96 bits of the SHA-256 over everything that matters, in hex."""
        whole = {
            "environment": self.environment,
            "cluster": self.cluster,
            "steps": [step.to_dict() for step in self.steps],
        }
        return hashlib.sha256(canonical(whole)).hexdigest()[:_TOKEN_DIGITS]

    def to_dict(self) -> dict[str, Any]:
        """Return `plan.json`."""
        return {
            "schema": SCHEMA,
            "token": self.token,
            "environment": self.environment,
            "cluster": self.cluster,
            "steps": [step.to_dict() for step in self.steps],
            "shown": dict(self.shown),
        }

    @classmethod
    def from_dict(cls, saved: Any) -> Plan:
        """Read `plan.json`. Raises UsageError for what is none, RefusedError where it is not what was approved."""
        try:
            steps = tuple(Step(s["action"], s["object"], s["patch"], s["expects"]) for s in saved["steps"])
            plan = cls(saved["environment"], saved["cluster"], steps, saved["shown"])
            known = saved["schema"] == SCHEMA
            unchanged = saved["token"] == plan.token
        except (KeyError, TypeError) as error:
            raise UsageError("it is no plan that this version can read", hint="plan again") from error
        if not known:
            raise UsageError(
                f"it is a plan of schema {printable(str(saved['schema']), 20)}", hint="plan again"
            )
        if not unchanged:
            raise RefusedError(
                "the plan was changed after it was made: its token does not fit", hint="plan again"
            )
        return plan


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def is_approved(plan: Plan, confirm: str, *, under_runner: bool) -> bool:
    """Tell whether `confirm` approves this plan; empty asks for the plan alone.

    Raises:
        RefusedError: it is the token of another plan, or `any` where no runner records who said so.
    """
    if not confirm:
        return False
    if confirm == ANY and not under_runner:
        raise RefusedError(
            "`any` approves only under `opslib run`", hint=f"confirm = {plan.token!r} approves this plan"
        )
    if confirm not in {ANY, plan.token}:
        raise RefusedError(
            f"{printable(confirm, 60)!r} approves another plan: what is wanted, or the cluster, has changed",
            hint=f"read this plan again; its token is {plan.token}",
        )
    return True
