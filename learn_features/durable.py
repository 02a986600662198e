"""What outlives a power cut, and is whole whenever it is there."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of an `OSError` that room helps against."""


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries after a rename or link in it, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A name beside `file` to write to: synced it takes the place of `file`, or is removed after an error.

    Whoever the umask lets read it may, whatever a library's own idea; an `OSError` names the file.
    """
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        aside.touch(exist_ok=False)
        mode = aside.stat().st_mode
        yield aside
        aside.chmod(mode)
        sync(aside)
        aside.replace(file)
        sync(file.parent)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(aside)):
            error.filename, error.filename2 = str(file), None
        raise
    finally:
        aside.unlink(missing_ok=True)


def sha256_of(file: Path) -> str:
    """Hex digest of what is in `file`."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_text(file: Path, text: str) -> None:
    """Write `text` to `file`, whole or not at all."""
    with whole(file) as aside:
        aside.write_text(text)
