"""The rules on who may import what, checked on modules and on what a process really loads."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RUNTIME_MODULES = (
    "learn_features.release.runtime",
    "learn_features.release.deployment",
    "learn_features.content.lookup",
    "learn_features.features.rows",
    "learn_features.features.reader",
    "learn_features.features.sqlite_rows",
    "learn_features.features.redis_rows",
    "learn_features.features.offline_log",
    "learn_features.streaming.user_updater",
    "learn_features.ranking",
    "learn_features.experiments",
)
HEAVY_FOR_THE_COMMAND_LINE = (
    "torch",
    "transformers",
    "feast",
    "airflow",
    "duckdb",
    "onnxruntime",
    "kafka",
    "matplotlib",
    "pandas",
    "scipy",
)


def _loaded(statement: str, candidates: tuple[str, ...]) -> list[str]:
    code = f"{statement}\nimport sys\nprint(*[m for m in {candidates!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return result.stdout.split()


@pytest.mark.parametrize("module", RUNTIME_MODULES)
def test_runtime_modules_load_neither_torch_nor_feast(module: str) -> None:
    assert _loaded(f"import {module}", ("torch", "transformers", "feast")) == []


def test_command_line_loads_nothing_heavy() -> None:
    assert _loaded("import learn_features.cli.main", HEAVY_FOR_THE_COMMAND_LINE) == []


def test_imports_point_left_only() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stdout


def test_no_module_is_called_after_nothing() -> None:
    names = {path.stem for path in (ROOT / "learn_features").rglob("*.py")}
    assert not names & {"utils", "util", "common", "helpers", "helper", "misc"}


def test_packages_list_all_their_modules() -> None:
    """A package whose docstring is a table of its modules names every one of them."""
    tables = 0
    for init in (ROOT / "learn_features").rglob("__init__.py"):
        described = ast.get_docstring(ast.parse(init.read_text())) or ""
        if re.search(r"^\w[\w, ]* {2,}\S", described, re.MULTILINE):
            tables += 1
            modules = {path.stem for path in init.parent.glob("*.py") if path.stem != "__init__"}
            missing = {name for name in modules if not re.search(rf"\b{name}\b", described)}
            assert not missing, init
    assert tables >= 12


def test_top_level_is_the_designs() -> None:
    for name in ("learn_features", "dags", "feature_repo", "export", "tests", "setup.cfg"):
        assert (ROOT / name).exists(), name


def test_no_registry_host_is_named() -> None:
    hosts = (
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "maven" + ".org",
        "npmjs" + ".org",
        "debian" + ".org/debian",
    )
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.split()
    found = [
        name
        for name in listed
        if (path := ROOT / name).is_file() and any(host in path.read_text(errors="ignore") for host in hosts)
    ]
    assert found == []
