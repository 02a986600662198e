"""What a run takes over from its parent."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from learn_features.config import Config
from learn_features.contracts import times
from learn_features.contracts.run_files import RUN_FILE
from learn_features.data.splits import Split
from learn_features.errors import BundleError, ConfigError, SpaceMismatch
from learn_features.release.export import export_run
from learn_features.towers.residuals import ItemResiduals
from learn_features.towers.weights import tensors
from learn_features.training.run import read_run
from learn_features.training.warm_start import open_parent
from tests.release.conftest import CONTENT, ITEMS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("parent") / "run")


def global_time(train: int, train_and_validation: int) -> Split:
    """As much of a split as tells when its parts end, in seconds."""
    first, both = (SimpleNamespace(newest_us=second * 10**6) for second in (train, train_and_validation))
    return cast("Split", SimpleNamespace(kind="global_time", train=first, train_and_validation=both))


def test_a_parent_that_knows_answers_is_refused(run, tmp_path):
    about = read_run(run)
    parent = open_parent(run, about.encoder, about.history, about.towers)
    assert (parent.split, parent.trained_until) == ("global_time", about.trained_until)
    seconds = times.to_us(about.trained_until) // 10**6
    bundle = open_parent(
        export_run(Config(state=str(tmp_path)), run), about.encoder, about.history, about.towers
    )
    for one in (parent, bundle):
        for train, knows in ((seconds, False), (seconds - 1, True)):
            parts = global_time(train, seconds)
            one.check_unseen(parts)
            assert one.knows_validation(parts) is knows
        with pytest.raises(ConfigError, match=r"beyond the test cut of these data .* knows answers"):
            one.check_unseen(global_time(seconds - 2, seconds - 1))
        other = replace(one, split="leave_one_out")
        with pytest.raises(ConfigError, match="was trained on the split leave_one_out"):
            other.check_unseen(global_time(seconds, seconds))


def test_answers_of_leave_one_out_that_a_parent_may_know_are_counted(run, caplog):
    """Where a user's last interaction is gone, the one before it is asked for, which the parent learnt."""
    about = read_run(run)
    parent = replace(open_parent(run, about.encoder, about.history, about.towers), split="leave_one_out")
    until = times.to_us(parent.trained_until)

    def parts(*asked: int) -> Split:
        newest = SimpleNamespace(newest_us=until)
        test = SimpleNamespace(request_times_us=np.array(asked))
        return cast(
            "Split",
            SimpleNamespace(kind="leave_one_out", train=newest, train_and_validation=newest, test=test),
        )

    assert parent.knows_validation(parts(until + 1, until + 2))
    parent.check_unseen(parts(until + 1, until + 2))
    assert not caplog.text
    parent.check_unseen(parts(until - 5, until, until + 1))
    assert "2 of 3 test answers are no newer than what the parent was trained on" in caplog.text


def test_a_run_and_its_bundle_hand_over_the_same(run, tmp_path):
    bundle = export_run(Config(state=str(tmp_path)), run)
    about = read_run(run)
    parents = [open_parent(uri, about.encoder, about.history, about.towers) for uri in (run, bundle)]
    assert all(bundle.endswith(f"/{parent.space_id}") for parent in parents)
    learned = ItemResiduals.load(run / "item_residuals.safetensors")
    for parent in parents:
        known = parent.residuals.lookup([ITEMS[3], "new", ITEMS[0]])
        np.testing.assert_array_equal(known, learned.lookup([ITEMS[3], "new", ITEMS[0]]))
        assert known.any(axis=1).tolist() == [True, False, True]
    first, second = (tensors(parent.towers) for parent in parents)
    assert all(first[name].equal(second[name]) for name in first)


def test_a_parent_of_before_is_taken_where_nothing_changed(tmp_path):
    older = make_run(tmp_path / "run", residuals=False)
    about = read_run(older)
    raw = json.loads((older / RUN_FILE).read_text())
    for later in ("residuals", "time_gaps"):
        del raw["towers"][later]
    (older / RUN_FILE).write_text(json.dumps(raw))
    assert open_parent(older, about.encoder, about.history, about.towers).residuals is None
    now = about.towers.model_copy(update={"residuals": True})
    with pytest.raises(SpaceMismatch, match=r"another towers than here \(residuals False → True\)"):
        open_parent(older, about.encoder, about.history, now)


def test_a_parent_that_does_not_say_on_what_it_was_trained_is_refused(tmp_path):
    silent = make_run(tmp_path / "run")
    about, raw = read_run(silent), json.loads((silent / RUN_FILE).read_text())
    del raw["trained_until"]
    (silent / RUN_FILE).write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="does not say on what it was trained"):
        open_parent(silent, about.encoder, about.history, about.towers)


@pytest.mark.parametrize("gained", [True, False])
def test_example_ages_come_and_go_with_the_times_of_a_log(tmp_path, gained):
    before = make_run(tmp_path / "run", example_age=not gained)
    about = read_run(before)
    now = about.towers.model_copy(update={"example_age": gained})
    towers = open_parent(before, about.encoder, about.history, now).towers
    assert towers.config == now
    same = open_parent(before, about.encoder, about.history, about.towers).towers
    theirs, ours = tensors(same), tensors(towers)
    assert all(ours[name].equal(theirs[name]) for name in ours.keys() & theirs.keys())
    assert {name.split(".")[1] for name in ours.keys() ^ theirs.keys()} == {"example_age"}
    if gained:
        content, lengths = torch.randn(2, 3, CONTENT), torch.tensor([3, 2])
        assert torch.equal(towers.eval().user(content, lengths), same.eval().user(content, lengths))


@pytest.mark.parametrize("at_most", [0, 7, 5000])
def test_how_many_items_lend_and_what_drops_out_may_change(run, at_most):
    about = read_run(run)
    now = about.towers.model_copy(update={"similar_items": at_most, "content_dropout": 0.4, "dropout": 0.3})
    parent = open_parent(run, about.encoder, about.history, now)
    assert parent.towers.config == now
    assert parent.borrowing == (2.0 if at_most else 0.0)
