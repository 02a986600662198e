"""One finite content vector an item, or none of what is made of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learn_features.errors import DataError

BLOCK = 65_536
"""Items that are looked at once."""


def check_content(content: NDArray[np.float16], item_ids: Sequence[str]) -> None:
    """`DataError` unless every content vector (n items, C) is finite and there is one an item."""
    if len(content) != len(item_ids):
        raise DataError(
            f"content vectors: there are {len(content)} for {len(item_ids)} items; give one an item, in their"
            f" order{_first_without(item_ids[len(content) :])}"
        )
    broken: list[str] = []
    for start in range(0, len(content), BLOCK):
        finite = np.isfinite(content[start : start + BLOCK]).all(axis=1)
        broken.extend(item_ids[start + int(row)] for row in np.flatnonzero(~finite))
    if broken:
        raise DataError(
            f"content vectors: {len(broken)} of {len(content)} are not finite (NaN or infinite),"
            f" first of items {', '.join(broken[:5])}; remove their shards from the content store and"
            " embed again"
        )


def _first_without(item_ids: Sequence[str]) -> str:
    return f" (first without one: {', '.join(item_ids[:5])})" if item_ids else ""
