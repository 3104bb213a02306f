"""What may be deleted is guarded, and a set has the id that kubectl gives it."""

import pytest

from opslib.core.errors import RefusedError, UsageError
from opslib.kube import Ref
from opslib.manifests.inventory import guarded_prune, inventory_ref, set_id

REFS = [
    Ref("v1", "Namespace", "", "a"),
    Ref("v1", "PersistentVolumeClaim", "s", "b"),
    Ref("v1", "Pod", "s", "c"),
]


def test_guarded_kinds_are_pruned_by_name_alone() -> None:
    recorded = dict.fromkeys(REFS, "")

    assert guarded_prune(REFS, recorded, named=(), most=5) == REFS[2:]
    assert guarded_prune(REFS, recorded, named=["Namespace/a"], most=5) == [REFS[0], REFS[2]]


@pytest.mark.parametrize(
    ("gone", "total", "most", "allowed"), [(2, 10, 0, 2), (3, 10, 0, 0), (3, 10, 3, 3), (1, 1, 1, 1)]
)
def test_a_fifth_or_a_few_may_go(gone, total, most, allowed) -> None:
    refs = [Ref("v1", "Pod", "s", f"p{n}") for n in range(total)]

    if allowed:
        assert len(guarded_prune(refs[:gone], dict.fromkeys(refs), named=(), most=most)) == allowed
    else:
        with pytest.raises(RefusedError, match=f"{gone} of {total}"):
            guarded_prune(refs[:gone], dict.fromkeys(refs), named=(), most=most)


def test_the_id_of_a_set_is_the_one_that_kubectl_computes() -> None:
    """As `kubectl apply --applyset=secret/my -n ns` of 1.32 labels what it applies."""
    assert (
        set_id(Ref("v1", "Secret", "ns", "my")) == "applyset-dV2EQqIJyrqRCPS7VWQ4fRkFbyUJXijzOb5NOmGxvyI-v1"
    )


@pytest.mark.parametrize("release", ["", "Shop", "a_b", "-a", "a-", "x" * 41, "a/b"])
def test_a_release_has_a_name_that_a_secret_can_have(release) -> None:
    with pytest.raises(UsageError):
        inventory_ref(release, "shop")
