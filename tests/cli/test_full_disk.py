import errno
import os

import pytest

from learn_features.cli import main


def test_a_copy_that_does_not_fit_names_the_copy(monkeypatch, capsys):
    def copy() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/towers", None, "bundle/towers")

    monkeypatch.setattr(main, "app", copy)
    with pytest.raises(SystemExit, match="1"):
        main.main()
    said = capsys.readouterr().err
    assert said.startswith("error: bundle/towers: No space left on device; make room")
    assert "run" not in said
