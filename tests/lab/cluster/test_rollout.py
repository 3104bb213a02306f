"""The arithmetic of a roll-out: never below what must be available, never above what may be, always to its end."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.lab.cluster.controllers import rollout
from opslib.lab.cluster.controllers.rollout import Counters, Goal, Size

counts = st.integers(0, 12)


@st.composite
def goals(draw: st.DrawFn) -> Goal:
    surge = draw(st.integers(0, 5) | st.integers(0, 100).map("{}%".format))
    unavailable = draw(st.integers(0, 5) | st.integers(0, 100).map("{}%".format))
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return rollout.goal({"replicas": draw(st.integers(1, 12)), "strategy": {"rollingUpdate": rolling}})


class Sets:
    """ReplicaSets whose pods come and go as they please, one at a time."""

    def __init__(self, replicas: int, olds: int) -> None:
        shares = [replicas // olds + (i < replicas % olds) for i in range(olds)]
        self.wanted = {f"old{i}": share for i, share in enumerate(shares)}
        self.pods = {name: [True] * share for name, share in self.wanted.items()}  # available or not
        self.wanted["new"], self.pods["new"] = 0, []

    def size(self, name: str) -> Size:
        return Size(name, self.wanted[name], sum(self.pods[name]))

    @property
    def available(self) -> int:
        return sum(sum(pods) for pods in self.pods.values())

    def obey(self) -> None:
        """Do as a ReplicaSet controller does: make what is missing, delete those that are not available first."""
        for name, pods in self.pods.items():
            pods.extend([False] * (self.wanted[name] - len(pods)))
            pods.sort()
            del pods[: max(0, len(pods) - self.wanted[name])]

    def is_behind(self) -> bool:
        """Whether pods are still to be made, deleted or waited for."""
        counts = {name: len(pods) for name, pods in self.pods.items()}
        return counts != self.wanted or not all(self.pods["new"])

    def step(self, aim: Goal) -> bool:
        olds = [self.size(name) for name in self.wanted if name != "new"]
        changed = rollout.roll(aim, self.size("new"), olds)
        self.wanted |= changed
        return bool(changed)


@settings(deadline=None)
@given(goals(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_roll_out_keeps_both_bounds_and_comes_to_its_end(
    aim: Goal, olds: int, chance: random.Random
) -> None:
    sets = Sets(aim.replicas, olds)
    for _ in range(60):
        sets.step(aim)
        assert sum(sets.wanted.values()) <= aim.replicas + aim.surge
        if chance.random() < 0.7:
            sets.obey()
            assert sets.available >= aim.replicas - aim.unavailable
        elif waiting := [i for i, available in enumerate(sets.pods["new"]) if not available]:
            sets.pods["new"][chance.choice(waiting)] = True
    while sets.step(aim) or sets.is_behind():
        sets.obey()
        sets.pods["new"] = [True] * len(sets.pods["new"])
    assert sets.wanted == {**dict.fromkeys(sets.wanted, 0), "new": aim.replicas}


@settings(deadline=None)
@given(goals(), st.integers(1, 3))
def test_a_template_that_never_becomes_available_takes_no_more_than_is_allowed(aim: Goal, olds: int) -> None:
    sets = Sets(aim.replicas, olds)
    for _ in range(60):
        sets.step(aim)
        sets.obey()
    assert not sets.step(aim), "it stands still"
    assert sets.available >= aim.replicas - aim.unavailable
    assert sum(sets.wanted.values()) <= aim.replicas + aim.surge


@given(goals(), counts, counts)
def test_broken_pods_of_the_old_template_do_not_hold_a_roll_out_up(aim: Goal, broken: int, good: int) -> None:
    old = Size("old", broken + good, good)
    sizes = rollout.roll(aim, Size("new", aim.replicas, aim.replicas), [old])
    assert sizes.get("old", old.replicas) == 0


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (3, "25%", "25%", Goal(3, 1, 0)),
        (10, "25%", "25%", Goal(10, 3, 2)),
        (1, "25%", "25%", Goal(1, 1, 0)),
        (4, 0, 0, Goal(4, 0, 1)),
        (4, 0, "10%", Goal(4, 0, 1)),
        (4, "100%", "100%", Goal(4, 4, 4)),
        (2, 0, 5, Goal(2, 0, 2)),
        (0, "25%", "25%", Goal(0, 0, 0)),
    ],
)
def test_per_cents_of_surge_round_up_and_of_unavailability_down(
    replicas: int, surge: int | str, unavailable: int | str, expected: Goal
) -> None:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    assert rollout.goal({"replicas": replicas, "strategy": {"rollingUpdate": rolling}}) == expected


def test_recreate_wants_all_replicas_available_and_none_more() -> None:
    assert rollout.goal({"replicas": 3, "strategy": {"type": "Recreate"}}) == Goal(3, 0, 0)


@settings(deadline=None, max_examples=300)
@given(goals(), st.lists(counts, min_size=1, max_size=4), counts, st.integers(0, 4))
def test_a_resize_in_the_middle_of_a_roll_out_gives_every_replica_to_somebody(
    aim: Goal, old: list[int], new: int, room: int
) -> None:
    before = sum(old) + new + room
    olds = [Size(f"old{i}", size, 0, before) for i, size in enumerate(old)]
    sizes = rollout.resize(aim, Size("new", new, 0, before), olds, rolling=True)
    every = {each.name: each.replicas for each in olds} | {"new": new} | sizes
    active = [name for name, size in [*((o.name, o.replicas) for o in olds), ("new", new)] if size]
    assert min(every.values()) >= 0
    if len(active) <= 1:
        assert sum(every.values()) == aim.replicas
    else:
        assert sum(every.values()) == aim.most


@pytest.mark.parametrize(
    ("aim", "new", "old", "expected"),
    [
        # 10 replicas, surge 3: 5 old and 8 new become 15 with surge 4; the larger set takes what rounding leaves
        (Goal(15, 4, 3), Size("new", 8, 8, 13), [Size("old", 5, 5, 13)], {"new": 12, "old": 7}),
        (Goal(5, 2, 1), Size("new", 8, 8, 13), [Size("old", 5, 5, 13)], {"new": 4, "old": 3}),
        (Goal(5, 2, 1), None, [Size("old", 3, 3, 4)], {"old": 5}),
        (Goal(5, 2, 1), Size("new", 3, 3, 4), [Size("old", 0)], {"new": 5}),
        (Goal(2, 1, 0), Size("new", 2, 2, 3), [Size("old", 1, 1, 3)], {"old": 0}),
        (Goal(0, 0, 0), Size("new", 2, 2, 4), [Size("old", 2, 2, 4)], {"new": 0, "old": 0}),
    ],
)
def test_a_resize_keeps_the_shares(
    aim: Goal, new: Size | None, old: list[Size], expected: dict[str, int]
) -> None:
    assert rollout.resize(aim, new, old, rolling=True) == expected


def test_the_hash_of_a_template_is_a_name_and_differs_after_a_collision() -> None:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    name = rollout.template_hash(template)

    assert 7 <= len(name) <= 10
    assert set(name) <= set("456789bcdf")
    assert name == rollout.template_hash({key: template[key] for key in reversed(template)})
    assert name != rollout.template_hash(template, collisions=1)
    assert (
        rollout.without_hash({**template, "metadata": {"labels": {"app": "a", "pod-template-hash": name}}})
        == template
    )


@given(st.tuples(counts, counts, counts, counts, counts))
def test_counters_leave_out_zeros_and_read_back(values: tuple[int, ...]) -> None:
    counters = Counters(*values)
    assert 0 not in counters.to_status().values()
    assert Counters.of_status(counters.to_status()) == counters


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        (Counters(4, 2, 1, 3, 3), True),  # one more is updated
        (Counters(4, 1, 1, 4, 3), True),  # one more is ready
        (Counters(3, 1, 1, 3, 3), True),  # one old less
        (Counters(4, 1, 1, 3, 3), False),
        (Counters(5, 1, 1, 3, 3), False),  # one old more
        (Counters(4, 1, 2, 2, 2), False),
    ],
)
def test_progress_is_more_of_the_new_or_less_of_the_old(after: Counters, moved: bool) -> None:
    assert after.is_progress(Counters(4, 1, 1, 3, 3)) is moved


def test_history_beyond_the_limit_ends_lowest_revision_first_and_never_what_has_pods() -> None:
    def old(revision: int, replicas: int = 0) -> dict:
        annotations = {"deployment.kubernetes.io/revision": str(revision)}
        return {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}, "status": {}}

    sets = [old(3), old(1, replicas=1), old(2), old(10)]
    assert rollout.expired(sets, 2) == [old(2)]
    assert rollout.expired(sets, 10) == []
