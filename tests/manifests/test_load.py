"""All manifests are read or none: files, folders, lists, what Kustomize and Helm render; images get their digests."""

import json
import stat
import sys
from pathlib import Path

import pytest

from opslib.core.errors import ManifestError, UsageError
from opslib.manifests.images import Image, parse_image, read_images
from opslib.manifests.load import load_manifests

DIGEST = "sha256:" + "a" * 64


def config(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


def names(*paths, **how) -> list[str]:
    return [m.ref.name for m in load_manifests(paths, **how)]


def program(folder: Path, name: str, code: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_folders_are_read_in_the_order_of_names_and_places_are_kept(tmp_path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.yml").write_text(config("three"))
    (tmp_path / "a.yaml").write_text(f"{config('one')}---\n{config('two')}")
    (tmp_path / "z.json").write_text('{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "four"}}')
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("{")

    found = load_manifests(tmp_path)

    assert [m.ref.name for m in found] == ["one", "two", "three", "four"]
    assert found[1].source == f"{tmp_path}/a.yaml:5"


def test_a_list_is_its_items_and_a_kind_that_ends_in_list_may_be_none(tmp_path) -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    allow = {"apiVersion": "x.io/v1", "kind": "AllowList", "metadata": {"name": "b"}, "items": ["10.0.0.1"]}
    (tmp_path / "l.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [item, allow]}))

    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "is a mapping"),
        ("kind: Pod\nmetadata: {name: a}", "`apiVersion` is missing"),
        ("apiVersion: v1\nkind: 3\nmetadata: {name: a}", "`kind` is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}", "no metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: [name]", "no metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: 3}", "namespace is no text"),
        (config("one"), "stands in .*a.yaml:1 already"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place_and_nothing_is_returned(tmp_path, text, words) -> None:
    (tmp_path / "a.yaml").write_text(config("one"))
    (tmp_path / "b.yaml").write_text(text)

    with pytest.raises(ManifestError, match=rf"b\.yaml:1: .*{words}"):
        load_manifests(tmp_path)


def test_what_is_not_there_is_a_usage_error(tmp_path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"\xff")
    for path in (tmp_path / "none.yaml", tmp_path / "latin.yaml"):
        with pytest.raises(UsageError, match="cannot read"):
            load_manifests(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no manifest"):
        load_manifests(tmp_path / "empty")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.yaml").write_text(config("a"))
    (tmp_path / "in" / "link.yaml").symlink_to(tmp_path / "out.yaml")

    with pytest.raises(ManifestError, match="leads out"):
        load_manifests(tmp_path / "in")


def test_the_size_is_bounded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("opslib.manifests.load.MAX_BYTES", 100)
    (tmp_path / "a.yaml").write_text(config("a"))
    (tmp_path / "b.yaml").write_text(config("b"))

    with pytest.raises(ManifestError, match="larger"):
        load_manifests(tmp_path)
    monkeypatch.setattr("opslib.manifests.load.MAX_FILES", 1)
    with pytest.raises(UsageError, match="more than 1 files"):
        load_manifests(tmp_path)


def test_what_a_program_renders_is_bounded(tmp_path, monkeypatch) -> None:
    program(tmp_path, "kustomize", f"print({config('a')!r} + '#' * 1000)")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("opslib.manifests.load.MAX_BYTES", 1000)
    (tmp_path / "kustomization.yaml").write_text("{}")

    with pytest.raises(ManifestError, match="rendered more"):
        load_manifests(tmp_path)


def test_kustomize_and_helm_are_rendered_by_their_programs(tmp_path, monkeypatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs, "kustomize", f"print({config('kustomized')!r})")
    program(programs, "helm", f"print({config('chart')!r}); print('#', sys.argv)")
    monkeypatch.setenv("PATH", str(programs))
    for folder, name in (("k", "kustomization.yaml"), ("h", "Chart.yaml")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}")

    found = load_manifests(
        [tmp_path / "k", tmp_path / "h"], release="shop", namespace="prod", values=["v.yaml"]
    )

    assert [m.ref.name for m in found] == ["kustomized", "chart"]
    assert found[1].source == f"{tmp_path}/h(helm):1"


@pytest.mark.parametrize(("folder", "name"), [("k", "kustomization.yaml"), ("h", "Chart.yaml")])
def test_a_program_that_is_missing_or_fails_is_named(tmp_path, monkeypatch, folder, name) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_text("{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not installed"):
        load_manifests(tmp_path / folder)
    with pytest.raises(UsageError, match="a folder of its own kind"):
        load_manifests(tmp_path)

    for binary in ("kustomize", "helm"):
        program(tmp_path, binary, "sys.exit('broken template')")
    with pytest.raises(ManifestError, match="broken template"):
        load_manifests(tmp_path / folder)


def test_images_get_their_digests_wherever_pods_are(tmp_path) -> None:
    spec = {
        "initContainers": [{"image": "init:v1"}],
        "containers": [{"image": "pay:v2"}, {"image": "other"}, {}],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": {"spec": spec}},
    }
    cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": f"pay@{DIGEST}"}]}}}}}}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"kind": "List", "items": [deployment, cron]}))
    (tmp_path / "images").write_text(
        json.dumps({"schema": 1, "images": {"pay:v2": f"reg.example/pay@{DIGEST}", "init": f"init@{DIGEST}"}})
    )

    found = load_manifests(tmp_path / "a.json", images=read_images(tmp_path / "images"))

    pod = found[0].body["spec"]["template"]["spec"]
    assert [c.get("image") for c in pod["containers"]] == [f"reg.example/pay@{DIGEST}", "other", None]
    assert pod["initContainers"][0]["image"] == f"init@{DIGEST}"
    job = found[1].body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert job["containers"][0]["image"] == f"pay@{DIGEST}"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": 2, "images": {}}', '{"schema": 1, "images": {"a": "b:v1"}}',
                '{"schema": 1, "images": {"a": 3}}', '{"schema": 1, "images": {"a": "b@sha256:12"}}']
)  # fmt: skip
def test_a_file_that_holds_no_digests_is_refused(tmp_path, content) -> None:
    (tmp_path / "images").write_text(content)

    with pytest.raises(UsageError):
        read_images(tmp_path / "images")


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nginx", ("", "nginx", "", "")),
        ("library/nginx:1.27", ("", "library/nginx", "1.27", "")),
        ("localhost:5000/web", ("localhost:5000", "web", "", "")),
        ("localhost/web:v1", ("localhost", "web", "v1", "")),
        (f"ghcr.io/a/b:v1@{DIGEST}", ("ghcr.io", "a/b", "v1", DIGEST)),
        ("", ("", "", "", "")),
    ],
)
def test_a_reference_has_its_parts(reference, parts) -> None:
    assert parse_image(reference) == Image(*parts)
