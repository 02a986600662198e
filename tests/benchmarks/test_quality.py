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


def test_ablations_have_a_row_for_every_variant(capsys, tmp_path):
    ablations.main(["--quick", "--json", "--state", str(tmp_path)])
    result = json.loads(capsys.readouterr().out)
    names = [row["method"] for row in result["rows"]]
    assert (len(names), names[0], names[-1]) == (7, ablations.FULL, ablations.NONE)
    assert result["rows"][0]["behind_full"] == [0, 0, 0]
