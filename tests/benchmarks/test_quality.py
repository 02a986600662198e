"""The benchmarks' smoke runs: all claims are there, and are what the rows say."""

import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import ablations, cold_cases, machine, quality, world
from learn_features.errors import ConfigError, DataError
from learn_features.evaluation import cold
from learn_features.training import fit as fitting
from learn_features.training.fit import Tuning
from learn_features.training.recipe import recipe_preset


def test_quality_claims_are_what_the_rows_say(capsys, tmp_path):
    quality.main(["--quick", "--json", "--state", str(tmp_path)])
    result = json.loads(capsys.readouterr().out)
    assert result["benchmark"] == "quality"
    rows = {row["method"]: row for row in result["rows"] if "method" in row}
    rivals = [rows[name] for name in ("popularity", "item_cf", "content")]
    claims = result["claims"]
    for claim, metric in (("recall_lift", "recall_at_10"), ("ndcg_lift", "ndcg_at_10")):
        best = max(row[metric] for row in rivals)
        assert claims[claim] == pytest.approx(rows["towers"][metric] / best)
    by_hand = {
        "timed_recall_lift": ("towers, timed", "recent_popularity"),
        "timed_baseline_lift": ("towers, timed", "best baseline, timed"),
        "text_only_share": ("towers, text only", "towers"),
        "cold_recall_lift": ("cold: towers", "cold: content"),
        "known_recall_kept": ("other cases: towers", "other cases, without held-out items: towers"),
        "served_recall_lift": ("towers, as served", max(rivals, key=lambda r: r["recall_at_10"])["method"]),
    }
    for claim, (ours, theirs) in by_hand.items():
        assert claims[claim] == pytest.approx(rows[ours]["recall_at_10"] / rows[theirs]["recall_at_10"])
    assert rows["towers, as served"]["recall_at_10"] != rows["towers"]["recall_at_10"]
    assert rows["cold: towers"]["cases"] + rows["other cases: towers"]["cases"] == rows["towers"]["cases"]
    assert "cold_only_recall_lift" not in claims  # eleven items in ten places
    intervals = {row["claim"]: row for row in result["rows"] if "claim" in row}
    assert claims.keys() == intervals.keys()
    for claim, row in intervals.items():
        low, high = row["interval"]
        assert low <= row["value"] == claims[claim] <= (math.inf if high is None else high)
    assert rows["item_cf"]["tuning"]["fits"] >= 1
    best = max(("item_cf", "content"), key=lambda name: rows[name]["tuning"]["validation"])
    assert rows["best baseline, timed"]["note"].startswith(f"{best}; ")
    assert rows["recent_popularity"]["sees_clock"]
    assert "paper-small" not in rows
    assert all(row["recall_at_10_interval"][0] <= row["recall_at_10"] for row in rivals)


def test_quick_is_for_what_is_not_named(capsys):
    """And a name that there is not is said before anything is read."""
    asked = quality.parsed(quality._parser(), ["--quick", "--seeds", "2", "--paper"], seeds=1, epochs=3)
    assert (asked.seeds, asked.epochs, asked.paper) == (2, 3, True)
    for wrong, said in (
        (["--baselines", "item_cf,esae"], "'esae': there are popularity"),
        (["--budget-seconds", "-1"], "-1 is no number of seconds"),
    ):
        with pytest.raises(SystemExit):
            quality.main([*wrong, "--items", "none.csv", "--interactions", "none.csv"])
        assert said in capsys.readouterr().err
    with pytest.raises(ConfigError, match="smal is unknown"):
        quality.main(["--preset", "smal", "--items", "none.csv", "--interactions", "none.csv"])


def test_what_baselines_found_is_told_where_towers_diverge(monkeypatch, capsys, tmp_path):
    def fails(*_arguments, **_more):
        raise ConfigError("training: the loss grew")

    monkeypatch.setattr(quality.World, "fit", fails)
    with pytest.raises(
        ConfigError,
        match="all there is: with the recipe of --preset small, training: the loss grew",
    ):
        quality.main(["--quick", "--json", "--state", str(tmp_path)])
    result = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in result["rows"]] == [*quality.QUICK, quality.TIMED_BASELINE, "whole run"]
    assert result["claims"] == {}


def test_enough_held_out_items_are_ranked_among_themselves(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cold_cases, "AMONG_COLD", 10)  # eleven are held out of this world
    quality.main(["--quick", "--json", "--state", str(tmp_path)])
    result = json.loads(capsys.readouterr().out)
    rows = {row["method"]: row["recall_at_10"] for row in result["rows"] if "recall_at_10" in row}
    ratio = rows["cold, among cold: towers"] / rows["cold, among cold: content"]
    assert result["claims"]["cold_only_recall_lift"] == pytest.approx(ratio)


def test_data_are_read_by_the_settings_and_what_is_odd_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "learn.yaml").write_text("data: {item_columns: {item_id: sku}}\n")
    (tmp_path / "items.csv").write_text("sku,title\na,Tent\nb,Tent\n")
    (tmp_path / "log.csv").write_text("user_id,item_id,position\nu,a,0\nu,b,1\nv,a,0\nv,b,1\n")
    asked = ["--items", "items.csv", "--interactions", "log.csv", "--min-interactions", "2", "--quick"]
    with pytest.raises(DataError, match=r"^log\.csv: the validation part"):
        quality.main(asked)
    assert "warning: items.csv: 2 of 2 items say the very same as another one" in capsys.readouterr().err


def test_ablations_have_a_row_for_every_variant_and_claims_are_what_rows_say(capsys, tmp_path):
    ablations.main(["--quick", "--json", "--state", str(tmp_path)])
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    rows = {row["method"]: row for row in result["rows"] if "method" in row}
    compared = [row for row in result["rows"] if "claim" in row]
    base = compared[-1]["better"]
    assert rows.keys() == {ablations.NONE, ablations.NONE_TUNED, *ablations.variants(384, base)}
    assert result["claims"].keys() == set(ablations.comparisons(base)) == {row["claim"] for row in compared}
    for row in compared:
        ours, theirs = rows[row["better"]], rows[row["worse"]]
        ratio = result["claims"][row["claim"]]
        assert ratio == pytest.approx(ours["recall_at_10"] / theirs["recall_at_10"])
        for metric in ("recall_at_10", "ndcg_at_10"):
            value, low, high = row[f"{metric}_difference"]
            assert low <= value <= high
            assert value == pytest.approx(ours[metric] - theirs[metric])
    # what is done already can be read while the rest runs
    assert all(f"{name}: recall_at_10" in printed.err for name in rows)


def test_ablations_can_be_asked_for_some_variants_only(capsys, tmp_path):
    ablations.main(["--quick", "--json", "--state", str(tmp_path), "--only", ablations.IDS])
    result = json.loads(capsys.readouterr().out)
    fitted = [row["method"] for row in result["rows"] if "method" in row]
    assert fitted == [ablations.NONE, ablations.NONE_TUNED, ablations.B, ablations.IDS]
    assert result["claims"].keys() == {"alignment_lift", "alignment_over_plain_mean", "text_over_ids"}


def test_json_has_no_numbers_that_are_none(capsys):
    rows = [{"method": "towers", "interval": [0.5, math.inf]}]
    machine.emit("quality", rows, {"recall_lift": math.nan, "ndcg_lift": 1.0}, True, lambda: None)
    result = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert result["claims"] == {"recall_lift": None, "ndcg_lift": 1.0}
    assert result["rows"][0]["interval"] == [0.5, None]


def test_what_is_wrong_with_the_data_is_said_in_a_line(monkeypatch, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,Tent\nb,Stove\n")
    (tmp_path / "log.csv").write_text("user_id,item_id,position\nu,a,0\nu,b,1\n")
    asked = ["quality.py", "--items", f"{tmp_path}/items.csv", "--interactions", f"{tmp_path}/log.csv"]
    monkeypatch.setattr(sys, "argv", asked)
    with pytest.raises(SystemExit, match=r"quality.py: .*log.csv: no user has 5 interactions"):
        machine.run(quality.main)


def test_without_a_rival_or_a_case_that_asks_for_cold_items_the_rest_is_said(monkeypatch, capsys, tmp_path):
    def none(*_arguments):
        raise DataError("cold items: none of the test targets is held out")

    monkeypatch.setattr(cold, "held_out_items", none)
    monkeypatch.setattr(quality, "QUICK", ["recent_popularity"])
    quality.main(["--quick", "--json", "--state", str(tmp_path)])
    printed = capsys.readouterr()
    assert "none of the test targets" in printed.err
    assert json.loads(printed.out)["claims"].keys() == {"timed_recall_lift", "text_only_share"}


def test_without_validation_nothing_is_said_of_cold_items(monkeypatch, capsys, tmp_path):
    without = cold.without

    def empty(split, held_out):
        return replace(without(split, held_out), validation=split.validation.select(slice(0)))

    monkeypatch.setattr(cold, "without", empty)
    quality.main(["--quick", "--json", "--state", str(tmp_path)])
    printed = capsys.readouterr()
    assert "without them nobody asks anything in validation" in printed.err
    assert "recall_lift" in json.loads(printed.out)["claims"]
    assert not any(row.get("method", "").startswith("cold") for row in json.loads(printed.out)["rows"])


def test_a_variant_that_cannot_be_trained_is_left_out_of_the_ablations(monkeypatch, capsys, tmp_path):
    fitted = ablations._fitted

    def fails(world, preset, variant, seeds):
        if variant.ids:
            raise ConfigError("training: the loss grew")
        return fitted(world, preset, variant, seeds)

    monkeypatch.setattr(ablations, "_fitted", fails)
    ablations.main(["--quick", "--json", "--state", str(tmp_path), "--only", ablations.IDS])
    printed = capsys.readouterr()
    assert f"{ablations.IDS}: left out, training: the loss grew" in printed.err
    assert json.loads(printed.out)["claims"].keys() == {"alignment_lift", "alignment_over_plain_mean"}


def test_the_papers_recipe_is_a_row_and_loses_no_other_where_it_fails(monkeypatch, capsys, tmp_path):
    quick = ["--quick", "--paper", "--json", "--state", str(tmp_path)]
    quality.main(quick)
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)["rows"] if "method" in row}
    assert rows["paper-small"]["runs"] == rows["towers"]["runs"] == 1
    fitted = quality.World.fit

    def fails(world, parts, seed, tuning, **more):
        if world.recipe.loss == "dense_all_action":
            raise ConfigError("training: the loss grew")
        return fitted(world, parts, seed, tuning, **more)

    monkeypatch.setattr(quality.World, "fit", fails)
    quality.main(quick)
    printed = capsys.readouterr()
    assert "paper-small: left out, training: the loss grew" in printed.err
    left = [row["method"] for row in json.loads(printed.out)["rows"] if "method" in row]
    assert left == [name for name in rows if name != "paper-small"]


def test_the_prior_is_tuned_on_what_its_towers_can_know(monkeypatch, capsys, tmp_path):
    held_out, asked = [], []

    def drawn(*arguments):
        held_out.append(draw(*arguments))
        return held_out[-1]

    def tuned(score, split, n_items):
        asked.append(split.validation)
        return tune(score, split, n_items, budget_seconds=0.1)

    draw, tune = fitting.draw_new, quality.tune_timed
    monkeypatch.setattr(fitting, "draw_new", drawn)
    monkeypatch.setattr(quality, "tune_timed", tuned)
    quality.main(["--quick", "--json", "--state", str(tmp_path)])
    of_baseline, of_towers = asked
    assert len(held_out[0])
    assert len(of_towers)
    assert not np.isin(of_towers.target_items, held_out[0]).any()
    assert np.isin(of_baseline.target_items, held_out[0]).any()


def test_the_prior_stands_on_towers_without_their_lift(monkeypatch, capsys, tmp_path):
    """It knows what the lift guesses: tuned on such towers, and judged with them."""
    how, tuned_on, judged = {}, [], []
    scorer, by_item, timed = quality.World.scorer, quality.Trained.by_item, quality.timed

    def made(self, fitted, **asked):
        score = scorer(self, fitted, **asked)
        how[score] = asked
        return score

    def residuals(self, items=None, *, lifted=True):
        tuned_on.append(lifted)
        return by_item(self, items, lifted=lifted)

    def with_prior(score, *arguments):
        judged.append(how.get(score, "a baseline"))
        return timed(score, *arguments)

    monkeypatch.setattr(quality.World, "scorer", made)
    monkeypatch.setattr(quality.Trained, "by_item", residuals)
    monkeypatch.setattr(quality, "timed", with_prior)
    quality.main(["--quick", "--split", "global_time", "--json", "--state", str(tmp_path)])
    assert tuned_on.count(False) == 1
    assert judged == ["a baseline", {"lifted": False}]


@pytest.mark.parametrize(
    ("interactions", "message"),
    [("user_id,item\nu,i\n", r"mine\.csv: .*column"), (None, r"items\.txt: is none of \.parquet, .csv")],
)
def test_what_is_wrong_with_a_file_names_the_file_that_was_given(tmp_path, interactions, message):
    """Two files from anywhere are read as one data set; where that lies is nobody's concern."""
    items, log = tmp_path / ("things.csv" if interactions else "items.txt"), tmp_path / "mine.csv"
    items.write_text("item_id,title\ni,Thing\n")
    log.write_text(interactions or "user_id,item_id\nu,i\n")
    with pytest.raises(DataError, match=message) as refused:
        quality.main(["--items", str(items), "--interactions", str(log), "--state", str(tmp_path / "state")])
    assert str(tmp_path) in str(refused.value)


def test_a_recipe_whose_end_goes_on_tunes_with_every_seed(monkeypatch):
    handed = []

    def note(*_, tuning, **__):
        handed.append(tuning)
        return SimpleNamespace(epochs=[])

    monkeypatch.setattr(world, "fit", note)
    for final in ("refit", "continue"):
        recipe = recipe_preset("small", final=final)
        world.World(None, np.zeros((1, 1)), None, recipe).fit(None, 1, Tuning(3))
    assert handed == [Tuning(3), None]
