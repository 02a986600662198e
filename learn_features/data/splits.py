"""Splits of a log into what models are fitted on and what they are asked.

global_time     Two cuts of the whole log, so that about 10 % of the interactions lie after the second
                (test) and as many between the two (validation). A user with interactions on both sides
                of a cut is a case: all before is the history, the next distinct items (up to 10) are
                the targets, and the time of the first is the request time.
leave_one_out   Each user's last moment is the test target, the one before the validation target. A
                moment is all interactions of one user at one time. Where there is only an order it is
                the only split; where there are times it is there to compare with published figures.

A cut never falls inside a user's ties: both kinds cut between moments. Targets are items that the user has
not taken before, as a ranking leaves out what was seen: a repeated one would be the only seen item in it, and
whatever scores histories high would find it. Repeats are for rankings that keep what was seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from learn_features.contracts import columns as c
from learn_features.contracts.history import HistoryRule
from learn_features.data.cases import Cases
from learn_features.data.digest import digest
from learn_features.data.item_index import ItemIndex
from learn_features.data.sequences import Sequences, sequences
from learn_features.data.tables import Dataset
from learn_features.errors import DataError

Kind = Literal["global_time", "leave_one_out"]

HELD_OUT_SHARE = 0.1
"""Share of the interactions after the test cut, and between the two cuts."""
MAX_TARGETS = 10


@dataclass(frozen=True)
class Split:
    """What to fit on and what to ask.

    train                 fit on this while tuning; `validation` asks about what comes next
    train_and_validation  fit on this for `test`
    everything            the whole log; only for what the clock shows at request time
    data_cutoff_us        newest event that training or evaluation sees
    has_times             False: times stand for an order, and nothing may be read from them
    """

    kind: Kind
    train: Sequences
    validation: Cases
    train_and_validation: Sequences
    test: Cases
    everything: Sequences
    data_cutoff_us: int
    has_times: bool = False

    def digest(self, item_ids: Sequence[str]) -> str:
        """32 hex digits of what lies before the test cut, and of the catalogue that it is about."""
        logs = (self.train, self.train_and_validation)
        ids = np.frombuffer("\0".join(item_ids).encode(), dtype=np.uint8)
        return digest(*(part for log in logs for part in (log.offsets, log.items, log.times_us)), ids)


def split(
    dataset: Dataset,
    index: ItemIndex,
    rule: HistoryRule,
    kind: Kind | Literal["auto"] = "auto",
    *,
    repeats: bool = False,
) -> Split:
    """Split `dataset`; `auto` takes global time where there are times. `repeats`: targets may be items that
    the user has taken before.

    Raises `DataError` where nobody has a history and a target.
    """
    log = sequences(dataset.interactions, index, rule)
    if kind == "auto":
        kind = "global_time" if dataset.has_times else "leave_one_out"
    if kind == "global_time" and not dataset.has_times:
        raise DataError(
            f"{dataset.log_file}: a split by time needs event_timestamp; there is only an order (position)"
        )
    if len(log.items) == 0:
        types = ", ".join(dataset.interactions[c.EVENT_TYPE].unique().sort().head(8))
        raise DataError(
            f"{dataset.log_file}: no interaction with a known item counts under the history rule ("
            f"event_types {rule.event_types}, min_value {rule.min_value}); the log has the types {types}: "
            "change history in learn.yaml"
        )
    part = _parts_by_time(log) if kind == "global_time" else _parts_by_user(log)
    aged = kind == "leave_one_out" and dataset.has_times
    result = Split(
        kind=kind,
        train=log.where(part == 0),
        validation=_cases(log, part == 0, part == 1, repeats, aged=aged),
        train_and_validation=log.where(part <= 1),
        test=_cases(log, part <= 1, part == 2, repeats, aged=aged),
        everything=log,
        data_cutoff_us=int(log.times_us.max()),
        has_times=dataset.has_times,
    )
    for name, cases in (("validation", result.validation), ("test", result.test)):
        if len(cases) == 0:
            where, advice = "before the cut and after it", ", or a longer stretch of time"
            if kind == "leave_one_out":
                moment = "last moment" if name == "test" else "last moment but one"
                where, advice = f"before the {moment} and in that", ""
            raise DataError(
                f"{dataset.log_file}: the {name} part of the split ({kind}) asks nobody anything: of "
                f"{len(log):,} users with {len(log.items):,} interactions none has a history {where} an item "
                f"not taken before; give users who take new items to the end{advice}"
                f"{_tied(log, kind) if dataset.has_times else ''}"
            )
    return result


def _tied(log: Sequences, kind: Kind) -> str:
    """What to say where so much has one time that no cut of the whole log is left."""
    _, counts = np.unique(log.times_us, return_counts=True)
    share = counts.max() / counts.sum()
    has_moments = bool((log.times_us[log.offsets[1:] - 1] > log.times_us[log.offsets[:-1]]).any())
    if counts.max() == 1 or share < HELD_OUT_SHARE or (kind == "leave_one_out" and has_moments):
        return ""
    advice = "; the split leave_one_out cuts each user's own sequence" if has_moments else ""
    return f" ({share:.0%} of them have one and the same time, inside of which no cut falls{advice})"


def _parts_by_time(log: Sequences) -> np.ndarray:
    """int8 (N,): 0 train, 1 validation, 2 test."""
    ordered = np.sort(log.times_us)
    cuts = [ordered[int(len(ordered) * (1 - share))] for share in (2 * HELD_OUT_SHARE, HELD_OUT_SHARE)]
    return np.searchsorted(np.asarray(cuts), log.times_us, side="right").astype(np.int8)


def _parts_by_user(log: Sequences) -> np.ndarray:
    """int8 (N,): 0 train, 1 validation (a user's last moment but one), 2 test (the last).

    The first moment always trains: it is somebody's only history.
    """
    moments = np.zeros(len(log.items), dtype=np.int64)
    users = log.users
    moments[1:] = np.cumsum((np.diff(log.times_us) != 0) | (np.diff(users) != 0))
    last = moments[log.offsets[1:] - 1][users]
    first = moments[log.offsets[:-1]][users]
    part = 2 - np.minimum(last - moments, 2)
    return np.where(moments == first, 0, part).astype(np.int8)


def _cases(log: Sequences, before: np.ndarray, after: np.ndarray, repeats: bool, *, aged: bool) -> Cases:
    """Users with interactions in `before` and `after` (bool (N,)), there with a new item unless `repeats`.

    `aged`: cases are of different times, each asked when its history ends.
    """
    users = log.users
    count = len(log.user_ids)
    if not repeats:
        pairs = users * (int(log.items.max()) + 1) + log.items
        after = after & ~np.isin(pairs, pairs[before])
    has_both = (np.bincount(users[before], minlength=count) > 0) & (
        np.bincount(users[after], minlength=count) > 0
    )
    asked = np.flatnonzero(has_both)
    history = np.flatnonzero(before & has_both[users])
    target = _next_distinct(log, np.flatnonzero(after & has_both[users]), users)
    history_counts = np.bincount(users[history], minlength=count)[asked]
    target_counts = np.bincount(users[target], minlength=count)[asked]
    target_offsets = np.concatenate([[0], np.cumsum(target_counts)]).astype(np.int64)
    history_offsets = np.concatenate([[0], np.cumsum(history_counts)]).astype(np.int64)
    history_times_us = log.times_us[history]
    ends_us = history_times_us[history_offsets[1:] - 1]
    return Cases(
        user_ids=[log.user_ids[user] for user in asked],
        history_offsets=history_offsets,
        history_items=log.items[history],
        history_times_us=history_times_us,
        target_offsets=target_offsets,
        target_items=log.items[target],
        request_times_us=log.times_us[target][target_offsets[:-1]],
        ages_us=int(log.times_us[before].max()) - ends_us if aged else None,
    )


def _next_distinct(log: Sequences, entries: np.ndarray, users: np.ndarray) -> np.ndarray:
    """The first MAX_TARGETS of `entries` of each user with distinct items, in order."""
    pairs = users[entries] * (int(log.items.max()) + 1) + log.items[entries]
    _, first = np.unique(pairs, return_index=True)
    distinct = entries[np.sort(first)]
    owners = users[distinct]
    starts = np.flatnonzero(np.r_[True, np.diff(owners) != 0]) if len(owners) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(owners)) - np.repeat(starts, np.diff(np.r_[starts, len(owners)]))
    return distinct[rank < MAX_TARGETS]
