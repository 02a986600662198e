"""Broad groups of items, from whatever a catalogue has as category."""

import re
from collections import Counter
from collections.abc import Sequence

_SEPARATOR = re.compile(r"\s*(?:>|,|\||/)\s*")
_LARGEST_SHARE = 0.5


def broad_groups(categories: Sequence[str | None]) -> list[str | None]:
    """A group for each item: its category's path at the first level where no group holds most items.

    Paths are written with `>`, commas, bars or slashes. A path that is too short gives its last part;
    no category, no group.
    """
    paths = [_SEPARATOR.split(category) if category else [] for category in categories]
    deepest = max(map(len, paths), default=0)
    groups: list[str | None] = [None] * len(paths)
    for level in range(deepest):
        groups = [path[min(level, len(path) - 1)] if path else None for path in paths]
        counts = Counter(group for group in groups if group is not None)
        if counts.most_common(1)[0][1] <= _LARGEST_SHARE * counts.total():
            break
    return groups
