"""What outlives a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries after a rename or link in it, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
