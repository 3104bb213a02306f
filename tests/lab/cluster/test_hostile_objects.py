"""Whatever JSON stands in place of a part of an object, a write ends with an object or with a refusal."""

import copy
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.lab.cluster.apply import Writer, server_side_apply, track_update
from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.defaults import apply_defaults, generated
from opslib.lab.cluster.patches import merge_patch, strategic_merge
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.schema import schema_of
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.validation import validate

RESOURCES = Resources()
LINES = (Path(__file__).parent / "recorded" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
OBJECTS = [json.loads(line)["new"] for line in LINES]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "key", "$patch", "x"]), inner)
    ),
    max_leaves=5,
)


@st.composite
def changed(draw):
    """Draw a recorded object with one part replaced by any value."""
    obj = copy.deepcopy(draw(st.sampled_from(OBJECTS)))
    here = obj
    while True:
        keys = sorted(here) if isinstance(here, dict) else list(range(len(here)))
        key = draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list) or not here[key] or draw(st.booleans()):
            break
        here = here[key]
    if key not in ("apiVersion", "kind") or here is not obj:
        here[key] = draw(VALUES)
    return obj


def refusal(action, *arguments) -> tuple[int, object]:
    """Return the code that an action is refused with, 200 where it is not, and what it made."""
    try:
        return 200, action(*arguments)
    except StatusError as refused:
        return refused.code, None


def written(obj: dict) -> dict:
    resource = RESOURCES.of_kind(obj["apiVersion"], obj["kind"])
    schema = schema_of(resource)
    new, _ = decode(schema, resource, obj)
    new["metadata"]["uid"] = "u1"
    whole = generated(resource, apply_defaults(resource, new))
    validate(resource, schema, whole, None)
    validate(resource, schema, whole, new)
    track_update(schema, None, whole, Writer("m", resource, "2026-01-01T00:00:00Z"))
    return whole


@settings(max_examples=150)
@given(changed())
def test_any_object_is_kept_or_refused(obj) -> None:
    code, whole = refusal(written, obj)

    assert code in (200, 400, 422)
    assert whole is None or written(whole) == whole


def patched(live: dict, patch: dict) -> dict:
    resource = RESOURCES.of_kind(live["apiVersion"], live["kind"])
    schema = schema_of(resource)
    merge_patch(live, patch)
    strategic_merge(live, patch, schema)
    live, _ = decode(schema, resource, live)
    writer = Writer("m", resource, "2026-01-01T00:00:00Z")
    return decode(schema, resource, server_side_apply(schema, live, patch, writer, force=True))[0]


@settings(max_examples=100)
@given(changed(), st.data())
def test_any_patch_is_taken_or_refused(patch, data) -> None:
    kind = (patch["apiVersion"], patch["kind"])
    live = data.draw(st.sampled_from([o for o in OBJECTS if (o["apiVersion"], o["kind"]) == kind]))

    code, _ = refusal(patched, live, patch)
    assert code in (200, 400, 422, 500)
