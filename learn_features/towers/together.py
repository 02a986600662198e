"""Both towers over groups of sequences of like length, with one pass through a transformer for all of them.

Group by group, a deep transformer is thousands of small calls, which cost a GPU more than their arithmetic.
The item vectors that a user tower may read beside the content (residuals, recency sum) are still made group
by group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from learn_features.towers.blocks import PreferenceAlignment
from learn_features.towers.model import Towers


@dataclass(frozen=True)
class Group:
    """Sequences of one length: content (B, L, C) and, as the towers are configured, residuals (B, L, D)
    and of histories time gaps (B, L)."""

    content: Tensor
    residuals: Tensor | None = None
    gaps: Tensor | None = None


def encode_together(
    towers: Towers, histories: Sequence[Group], targets: Sequence[Group]
) -> tuple[list[Tensor], list[Tensor]]:
    """`towers.user.positions` of every group of histories, and `towers.item.targets` of every group of
    targets."""
    user, item = towers.user, towers.item
    vectors = [user.item_vectors(group.content, group.residuals) for group in histories]
    read = [
        user.alignment.entries(user.input(group.content), user.beside(known, group.gaps))
        for group, known in zip(histories, vectors, strict=True)
    ]
    if item.alignment is None:
        users, items = user.alignment.packed(read), [item.targets(t.content, t.residuals) for t in targets]
    else:
        asked = [_item_entries(item.alignment, item.input(t.content), item.variant) for t in targets]
        if item.alignment is user.alignment:
            aligned = user.alignment.packed([*read, *asked])
            users, items = aligned[: len(read)], aligned[len(read) :]
        else:
            users, items = user.alignment.packed(read), item.alignment.packed(asked)
        items = [
            item.finished(part.view(*group.content.shape[:2], -1), group.residuals)
            for part, group in zip(items, targets, strict=True)
        ]
    return [user.finished(part, known) for part, known in zip(users, vectors, strict=True)], items


def _item_entries(alignment: PreferenceAlignment, content: Tensor, variant: str) -> Tensor:
    """What the item tower's transformer reads: whole sequences, or each target as a sequence of its own."""
    return alignment.entries(content if variant == "sequence" else content.flatten(0, 1).unsqueeze(1))
