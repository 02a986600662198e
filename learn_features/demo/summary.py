"""Every figure of a run, as `summary.json` has it and the closing table prints it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from learn_features.durable import write_text


@dataclass
class Summary:
    """Filled step by step; keys are those of summary.json."""

    data: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    """Method → recall_at_10, ndcg_at_10 …"""
    sentence: str = ""
    """Which method wins, in words."""
    parity: dict[str, float] = field(default_factory=dict)
    freshness: dict[str, Any] = field(default_factory=dict)
    stream: dict[str, int] = field(default_factory=dict)
    rollout: dict[str, Any] = field(default_factory=dict)
    ranking: dict[str, Any] = field(default_factory=dict)
    experiment: dict[str, Any] = field(default_factory=dict)
    spaces: dict[str, str] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    """title, expected_seconds, seconds."""
    wall_seconds: float = 0.0

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Summary":
        return cls(**json.loads(path.read_text()))

    def lift_over(self, method: str) -> float:
        """Recall@10 of the towers over another method's; infinite where that has none."""
        other = self.quality[method]["recall_at_10"]
        return self.quality["towers"]["recall_at_10"] / other if other else float("inf")

    def rows(self) -> list[tuple[str, str]]:
        """The closing table."""
        rows = [
            (
                f"{METHODS.get(name, name)}",
                f"Recall@10 {q['recall_at_10']:.4f}   NDCG@10 {q['ndcg_at_10']:.4f}",
            )
            for name, q in by_recall(self.quality)
        ]
        rows.append(("ONNX against torch", f"{self.parity['max_abs_diff']:.1e} largest difference"))
        item, user = self.freshness["item_seconds"], self.freshness["user_seconds"]
        rows.append(("new item readable after", f"{item:.2f} s at most"))
        rows.append(("changed user readable after", f"{user:.2f} s at most"))
        stream, rollout = self.stream, self.rollout
        rows.append(
            (
                "events sent, lost, dead letters",
                f"{stream['events']}, {stream['lost']}, {stream['dead_letters']}",
            )
        )
        rows.append(
            (
                "reads during roll-out",
                f"{rollout['reads']}, errors {rollout['errors']}, mixed {rollout['mixed']}",
            )
        )
        rows.append(("ranking call, 200 candidates", f"{self.ranking['p50_ms']:.1f} ms (p50)"))
        rows.append(("whole run", f"{self.wall_seconds:.0f} s"))
        return rows


METHODS = {
    "towers": "trained towers",
    "popularity": "popularity",
    "recent_popularity": "popularity of the 3 days before",
    "item_cf": "item-CF, tuned",
    "content": "content vectors, unaligned",
}
"""Names for people."""


def by_recall(quality: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """Methods, best Recall@10 first."""
    return sorted(quality.items(), key=lambda pair: -pair[1]["recall_at_10"])
