"""Write a container image as a docker-archive (docker load, skopeo and ctr read it), from files, without a daemon.

One layer, owners and times fixed: the same files give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

EPOCH = "1970-01-01T00:00:00Z"


def entry(
    name: str, mode: int, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = ""
) -> tarfile.TarInfo:
    """Return a tar entry of root's, of 1970."""
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.size, info.linkname, info.mtime = mode, kind, size, link, 0
    return info


def sources(arguments: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield each file, or each entry of a folder, with its place in the image, from SOURCE:TARGET arguments."""
    for argument in arguments:
        source, _, target = argument.partition(":")
        root = Path(source)
        if not root.is_dir():
            yield root, target.lstrip("/")
            continue
        for path in sorted(root.rglob("*")):
            yield path, str(PurePosixPath(target.lstrip("/")) / path.relative_to(root).as_posix())


def layer(files: list[str], directories: list[str]) -> bytes:
    """Return the layer's tar: parents first, each folder once, links kept as links."""
    buffer, seen = io.BytesIO(), set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def folder(name: str) -> None:
            for parent in [*reversed(PurePosixPath(name).parents), PurePosixPath(name)]:
                text = str(parent)
                if text != "." and text not in seen:
                    seen.add(text)
                    tar.addfile(entry(text, 0o1777 if text == "tmp" else 0o755, tarfile.DIRTYPE))

        for name in directories:
            folder(name.strip("/"))
        for path, target in sources(files):
            if path.is_symlink():
                folder(str(PurePosixPath(target).parent))
                tar.addfile(entry(target, 0o777, tarfile.SYMTYPE, link=str(path.readlink())))
            elif path.is_dir():
                folder(target)
            else:
                folder(str(PurePosixPath(target).parent))
                mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
                with path.open("rb") as file:
                    tar.addfile(entry(target, mode, size=path.stat().st_size), file)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("reference", help="NAME:TAG")
    parser.add_argument("files", nargs="*", metavar="SOURCE:TARGET")
    parser.add_argument("--directory", action="append", default=[], help="an empty folder in the image")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--entrypoint", default="", help="as typed in a shell")
    given = parser.parse_args()
    content = layer(given.files, given.directory)
    digest = hashlib.sha256(content).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": {
            "Entrypoint": shlex.split(given.entrypoint),
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/", *given.env],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": EPOCH, "created_by": "image.py"}],
    }
    text = json.dumps(config, sort_keys=True).encode()
    name = hashlib.sha256(text).hexdigest() + ".json"
    index = [{"Config": name, "RepoTags": [given.reference], "Layers": [f"{digest}.tar"]}]
    with tarfile.open(given.out, "w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in (
            (name, text),
            (f"{digest}.tar", content),
            ("manifest.json", json.dumps(index).encode()),
        ):
            archive.addfile(entry(member, 0o644, size=len(data)), io.BytesIO(data))
    print(given.reference, f"sha256:{hashlib.sha256(text).hexdigest()[:12]}", len(content))


if __name__ == "__main__":
    main()
