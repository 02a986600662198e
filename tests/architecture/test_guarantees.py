"""docs/architecture.md names a test for every guarantee; the tests must be there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_document_names_exists() -> None:
    rows = (ROOT / "docs/architecture.md").read_text().partition("## Guarantees")[2].splitlines()
    named = [match for row in rows for match in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)]
    assert len(named) >= 20
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text())
    ]
    assert missing == []
