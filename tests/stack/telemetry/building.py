"""What `up` starts, had from package registries alone, into the user's cache.

Each folder is named by the digest of its recipe, so that a change builds anew beside the old; it comes into its place
whole, by one rename, so that what is there is complete.
"""

import fcntl
import hashlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from processes import FailedError

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opslib-stack"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise FailedError(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def need(tool: str, hint: str, *packages: str) -> None:
    """Make sure of a tool. Debian packages that bring it are installed by root alone; they start nothing."""
    if shutil.which(tool):
        return
    if not packages or os.geteuid() or not shutil.which("apt-get"):
        raise FailedError(f"{tool} is missing; {hint}")
    run("apt-get", "update", "-q", cwd=HERE)
    run(
        *("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages),
        cwd=HERE,
        DEBIAN_FRONTEND="noninteractive",
    )


def jars(recipe: Path, into: Path) -> None:
    need("mvn", "install Maven", "maven")
    run(
        "mvn",
        "-B",
        "-q",
        "-Dstyle.color=never",
        MAVEN_COPY,
        f"-DoutputDirectory={into}",
        "-DincludeScope=runtime",
        cwd=recipe,
    )


def java(oldest: int) -> Path:
    """Return the folder of a Java that is new enough, with its compiler. Raises FailedError where there is none."""
    found = []
    homes = [Path(os.environ.get("JAVA_HOME", "/nowhere")), *sorted(Path("/usr/lib/jvm").glob("*"))]
    for home in homes:
        if (home / "bin/javac").exists():
            said = run(str(home / "bin/javac"), "-version", cwd=HERE)
            version = int(re.search(r"\d+", said).group())
            if version >= oldest:
                found.append((version, home))
    if not found:
        raise FailedError(f"Java {oldest} or newer is missing; set JAVA_HOME to the folder of one")
    return min(found)[1]


def elasticsearch(recipe: Path, into: Path) -> None:
    """Lay jars out as Elasticsearch wants them: plugins in modules/NAME with a descriptor, all others in lib."""
    need("javac", "install a JDK 17", "openjdk-17-jdk-headless")
    version = re.search(r"<es>(.*)</es>", (recipe / "pom.xml").read_text()).group(1)
    lib, classes = into / "lib", into / "classes"
    jars(recipe, lib)
    run(str(java(17) / "bin/javac"), "-cp", f"{lib}/*", "-d", str(classes), *_sources(recipe), cwd=recipe)
    plugins = {
        "transport-netty4": ("org.elasticsearch.transport.netty4.Netty4Plugin", "", "transport-netty4-"),
        "x-pack-core": ("org.elasticsearch.xpack.core.XPackPlugin", "", "x-pack-core-"),
        "x-pack-esql-core": (
            "org.elasticsearch.xpack.esql.core.plugin.EsqlCorePlugin",
            "x-pack-core",
            "x-pack-esql-core-",
        ),
        "x-pack-esql": (
            "org.elasticsearch.xpack.esql.plugin.EsqlPlugin",
            "x-pack-core,x-pack-esql-core",
            "x-pack-(esql|kql)-",
        ),
        "rest-root": ("Root", "", None),
    }
    for name, (class_name, extended, files) in plugins.items():
        folder = into / "modules" / name
        folder.mkdir(parents=True)
        for jar in [j for j in lib.iterdir() if files and re.match(files, j.name)]:
            jar.rename(folder / jar.name)
        (folder / "plugin-descriptor.properties").write_text(
            f"description={name}\nversion={version}\nname={name}\nclassname={class_name}\njava.version=17\n"
            f"elasticsearch.version={version}\nextended.plugins={extended}\nhas.native.controller=false\n"
        )
    for jar, wanted in ((lib / "node.jar", "Node"), (into / "modules/rest-root/root.jar", "Root")):
        with zipfile.ZipFile(jar, "w") as packed:
            for each in sorted(classes.glob(f"{wanted}*.class")):
                packed.write(each, each.name)
    shutil.rmtree(classes)
    (into / "config").mkdir()
    shutil.copy(recipe / "log4j2.properties", into / "config")
    (into / "native").mkdir()
    (into / "native/libzstd.so").symlink_to(_library("libzstd.so.1"))


def _library(name: str) -> str:
    listed = run("/sbin/ldconfig", "-p", cwd=HERE)
    found = re.search(rf"{re.escape(name)}.*=> (\S+)", listed)
    if not found:
        raise FailedError(f"{name} is missing; install it")
    return found.group(1)


def _sources(recipe: Path) -> list[str]:
    return [str(path) for path in sorted(recipe.glob("*.java"))]


def opensearch(recipe: Path, into: Path) -> None:
    compiler = java(21) / "bin/javac"
    jars(recipe, into)
    run(str(compiler), "-cp", f"{into}/*", "-d", str(into), *_sources(recipe), cwd=recipe)


@dataclass(frozen=True)
class Recipe:
    """`folder` holds its files; `words` say all else that its result depends on."""

    build: Callable[[Path, Path], None]
    words: str
    folder: str = ""

    def digest(self) -> str:
        said = hashlib.sha256(self.words.encode())
        for path in sorted((HERE / self.folder).iterdir()) if self.folder else ():
            said.update(path.read_bytes())
        return said.hexdigest()[:12]


def _go(folder: str, package: str, stamp: str, tags: str = "") -> Recipe:
    """`stamp` is the linker's VARIABLE=VERSION; the binary is named as the package's folder."""
    flags = ("-mod=readonly", "-trimpath", f"-tags={tags}", "-ldflags", f"-s -w -X {stamp}")

    def build(recipe: Path, into: Path) -> None:
        need("go", "install Go 1.26 or newer")
        run("go", "build", *flags, "-o", str(into), package, cwd=recipe, CGO_ENABLED="0")

    return Recipe(build, " ".join((package, *flags)), folder)


def _debian(*packages: str) -> Recipe:
    """Packages are unpacked, not installed: nothing of theirs is started, and no root is needed."""

    def build(_: Path, into: Path) -> None:
        need("apt-get", "this server is one of Debian's packages")
        if not os.geteuid():
            run("apt-get", "update", "-q", cwd=into)
        run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages, cwd=into)
        for package in into.glob("*.deb"):
            run("dpkg", "-x", package.name, ".", cwd=into)
            package.unlink()

    return Recipe(build, " ".join(packages))


def _java(folder: str, build: Callable[[Path, Path], None]) -> Recipe:
    return Recipe(build, inspect.getsource(build), folder)


JAEGER, PROMETHEUS, LOKI = (
    "github.com/jaegertracing/jaeger",
    "github.com/prometheus",
    "github.com/grafana/loki/v3",
)
RECIPES = {
    "elasticsearch": _java("elasticsearch", elasticsearch),
    "opensearch": _java("opensearch", opensearch),
    "rsyslog": _debian("rsyslog", "rsyslog-elasticsearch", "libestr0", "libfastjson4", "liblognorm5"),
    "prometheus-2": _debian("prometheus"),
    "jaeger": _go("jaeger", f"{JAEGER}/cmd/jaeger", f"{JAEGER}/internal/version.latestVersion=v2.13.0"),
    "prometheus-3": _go(
        "prometheus",
        f"{PROMETHEUS}/prometheus/cmd/prometheus",
        f"{PROMETHEUS}/common/version.Version=3.16.0",
        "netgo,remove_all_sd",
    ),
    "loki": _go("loki", f"{LOKI}/cmd/loki", f"{LOKI}/pkg/util/build.Version=3.7.8"),
}


def built(name: str) -> Path:
    """Return the folder of what is built, building it where it is missing."""
    recipe = RECIPES[name]
    folder = CACHE / f"{name}-{recipe.digest()}"
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            print(f"building {name}", file=sys.stderr)
            fresh = CACHE / f"{name}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            recipe.build(HERE / recipe.folder, fresh)
            fresh.rename(folder)
    return folder
