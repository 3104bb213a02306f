"""The token is that of what will be done, to what, under which conditions: of no more and no less."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.errors import RefusedError, UsageError
from opslib.core.plan import Plan, Step, is_approved

STEP = Step(
    "change", "v1 ConfigMap shop/a", {"data": {"x": "1"}}, {"uid": "u", "fields": [[["data", "x"], "0"]]}
)
PLAN = Plan("prod", "cluster-1", (STEP, replace(STEP, object="v1 ConfigMap shop/b")), {"evidence": 1})


def test_what_is_only_shown_is_not_in_the_token() -> None:
    assert replace(PLAN, shown={"clock": 2}).token == PLAN.token


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, environment="stage"),
        replace(PLAN, cluster="cluster-2"),
        replace(PLAN, steps=PLAN.steps[::-1]),
        replace(PLAN, steps=PLAN.steps[:1]),
        *(
            replace(PLAN, steps=(replace(STEP, **{field: value}), PLAN.steps[1]))
            for field, value in {
                "action": "prune",
                "object": "x",
                "patch": {},
                "expects": {"uid": "v"},
            }.items()
        ),
    ],
)
def test_everything_else_is(other) -> None:
    assert other.token != PLAN.token


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_keys_does_not_show(keys) -> None:
    one, other = ({key: key for key in order} for order in ("abcd", keys))

    assert (
        Plan("e", "c", (replace(STEP, patch=one),)).token
        == Plan("e", "c", (replace(STEP, patch=other),)).token
    )


def test_a_saved_plan_is_the_same_plan() -> None:
    saved = json.loads(json.dumps(PLAN.to_dict()))

    assert Plan.from_dict(saved) == PLAN
    assert saved["token"] == PLAN.token


@pytest.mark.parametrize(
    "saved", [None, [], {}, {"steps": 3}, {**PLAN.to_dict(), "steps": [{}]}, {**PLAN.to_dict(), "schema": 9}]
)
def test_what_is_no_plan_is_a_usage_error(saved) -> None:
    with pytest.raises(UsageError):
        Plan.from_dict(saved)


def test_a_plan_that_somebody_changed_is_refused() -> None:
    saved = PLAN.to_dict()
    saved["steps"][0]["patch"] = {"data": {"x": "2"}}

    with pytest.raises(RefusedError, match="changed after it was made"):
        Plan.from_dict(saved)


def test_only_its_token_approves_a_plan_and_any_only_under_the_runner() -> None:
    assert not is_approved(PLAN, "", under_runner=True)
    assert is_approved(PLAN, PLAN.token, under_runner=False)
    assert is_approved(PLAN, "any", under_runner=True)
    for confirm, under_runner in (("any", False), ("0" * 24, True)):
        with pytest.raises(RefusedError) as error:
            is_approved(PLAN, confirm, under_runner=under_runner)
        assert PLAN.token in error.value.hint
