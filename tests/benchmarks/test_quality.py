"""The benchmarks' smoke runs: all claims are there, and are what the rows say."""

import json

import pytest

from benchmarks import ablations, quality


def test_quality_claims_are_what_the_rows_say(capsys, tmp_path):
    quality.main(["--quick", "--json", "--state", str(tmp_path)])
    result = json.loads(capsys.readouterr().out)
    assert result["benchmark"] == "quality"
    rows = {row["method"]: row for row in result["rows"]}
    rivals = [rows[name] for name in ("popularity", "item_cf", "content")]
    claims = result["claims"]
    for claim, metric in (("recall_lift", "recall_at_10"), ("ndcg_lift", "ndcg_at_10")):
        best = max(row[metric] for row in rivals)
        assert claims[claim] == pytest.approx(rows["towers"][metric] / best)
    by_hand = {
        "timed_recall_lift": ("towers, timed", "recent_popularity"),
        "text_only_share": ("towers, text only", "towers"),
        "cold_recall_lift": ("cold: towers", "cold: content"),
        "cold_only_recall_lift": ("cold, among cold: towers", "cold, among cold: content"),
    }
    for claim, (ours, theirs) in by_hand.items():
        assert claims[claim] == pytest.approx(rows[ours]["recall_at_10"] / rows[theirs]["recall_at_10"])
    assert rows["recent_popularity"]["sees_clock"]
    assert all(row["recall_at_10_interval"][0] <= row["recall_at_10"] for row in rivals)


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
