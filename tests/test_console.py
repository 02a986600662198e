"""How wide what is printed is."""

import sys

import pytest

from learn_features.console import LOG_WIDTH, open_console


@pytest.mark.parametrize(("terminal", "stderr"), [("stdout", False), ("stderr", True)])
def test_a_log_is_wide_and_a_terminal_as_wide_as_it_is(
    monkeypatch: pytest.MonkeyPatch, terminal: str, stderr: bool
) -> None:
    """The other stream goes into a file, as with `--json | jq`."""
    monkeypatch.delenv("COLUMNS", raising=False)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda here=name == terminal: here, raising=False)
    assert open_console(stderr=stderr).width != LOG_WIDTH
    assert open_console(stderr=not stderr).width == LOG_WIDTH
    monkeypatch.setenv("COLUMNS", "91")
    assert open_console(stderr=not stderr).width == 91
