"""The README's commands and code, run as they are written there; one whole demo among them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learn_features.config import CONFIG_VARIABLE
from tests.e2e.test_demo import EXTERNAL_LEARN_YAML, check_operation

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "var/demo"
NOT_TYPED = {CONFIG_VARIABLE, "ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
"""What the make that runs the tests leaves in the environment, and a person's shell does not have."""
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def shell(command: str, **variables: str) -> str:
    """Standard output of a command typed in the project's folder with its environment active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if k not in NOT_TYPED} | {"PATH": path} | variables
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def demo() -> tuple[dict[str, Any], str]:
    """Summary and terminal output of the first command of the README."""
    command = next(line for line in README.splitlines() if line.startswith("make demo"))
    output = shell(command)
    return json.loads((DEMO / "summary.json").read_text()), output


def test_make_demo(demo: tuple[dict[str, Any], str]) -> None:
    summary, output = demo
    check_operation(summary)
    recall = {method: figures["recall_at_10"] for method, figures in summary["quality"].items()}
    assert recall["towers"] >= 1.1 * recall["popularity"]
    assert recall["towers"] >= 1.1 * recall["content"]
    assert summary["sentence"].split(",")[0] in (DEMO / "report.html").read_text()
    for line in EXTERNAL_LEARN_YAML.splitlines():
        assert line in output
    assert "mixed reads: 0" in output


def test_the_ranking_code(demo: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    script = tmp_path / "ranking.py"
    script.write_text("\n".join(blocks("python")))
    printed = shell(f"python {script}", **{CONFIG_VARIABLE: str(DEMO / "learn.yaml")}).split()
    assert len(printed) == 12
    assert all(item.startswith("item-") for item in printed[:10])
    assert printed[10:] == ["200", "64"]


def test_play_click_and_upload(demo: tuple[dict[str, Any], str]) -> None:
    shell("make play")
    try:
        for line in next(block for block in blocks("") if "learn-features click" in block).splitlines():
            if line.startswith("learn-features"):
                shell(line.partition("#")[0])
    finally:
        shell("make stop")
