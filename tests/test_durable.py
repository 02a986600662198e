"""Files that are whole, whatever happens while they are written."""

import errno
import os
from pathlib import Path

import pytest

from learn_features.durable import whole, write_text


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_text(file, "old")

    def half() -> None:
        with whole(file) as aside:
            aside.write_text("ne")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space") as error:
        half()
    assert error.value.filename == str(file)
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("a.json", "old")]


def test_who_may_read_is_the_umasks_affair(tmp_path: Path) -> None:
    with whole(tmp_path / "a") as aside:
        aside.write_text("")
        aside.chmod(0o600)  # as safetensors does
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
