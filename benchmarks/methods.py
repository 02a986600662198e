"""Rows of the benchmarks that rank: what methods answered, as JSON and as a table."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.world import PLACES, log
from learn_features.console import open_console
from learn_features.evaluation.bootstrap import Bootstrap, Interval
from learn_features.evaluation.evaluated import Evaluated

METRICS = (f"recall_at_{PLACES}", f"ndcg_at_{PLACES}")


@dataclass
class Method:
    """One row: answers to the test cases, one of each run."""

    sees_clock: bool
    seconds: float
    answers: list[Evaluated] = field(default_factory=list)
    note: str = ""
    tuning: dict[str, Any] = field(default_factory=dict)
    """Of a baseline: what was tuned (`TunedBaseline.row`)."""

    def values(self, metric: str) -> np.ndarray:
        """(runs, cases)"""
        return np.stack([answer.per_case(metric) for answer in self.answers])


def tell(name: str, method: Method) -> None:
    """The newest answers as they come, so that a run that is stopped has said something."""
    newest = method.answers[-1].means()
    log.print(f"  test: {name}: " + ", ".join(f"{metric} {newest[metric]:.4f}" for metric in METRICS))


def row(name: str, method: Method) -> dict[str, Any]:
    resample = Bootstrap(len(method.answers[0]))
    values: dict[str, Any] = {"method": name, "sees_clock": method.sees_clock, "runs": len(method.answers)}
    for metric in METRICS:
        interval = resample.interval(method.values(metric))
        values[metric] = interval.value
        values[f"{metric}_interval"] = [interval.low, interval.high]
        values[f"{metric}_runs"] = method.values(metric).mean(axis=1).tolist()
    values |= {"cases": len(method.answers[0]), "seconds": method.seconds, "note": method.note}
    return values | ({"tuning": method.tuning} if method.tuning else {})


def figures(line: dict[str, Any]) -> list[str]:
    """Cells of a `row`: each metric and its interval."""
    return [
        part
        for metric in METRICS
        for part in (f"{line[metric]:.4f}", "{:.4f}–{:.4f}".format(*line[f"{metric}_interval"]))
    ]


def table_of(name: str, *headings: str) -> Table:
    """A table without lines in which only the first column may wrap."""
    table = Table(name, box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def show(rows: list[dict[str, Any]], claims: dict[str, Interval]) -> None:
    """The table of `quality.py`, what was cut short, and claims; the last row has the seconds of all."""
    table = table_of("method", "Recall@10", "", "NDCG@10", "", "runs", "cases", "seconds", "clock")
    for line in rows:
        if "recall_at_10" not in line:
            continue
        clock = "yes" if line["sees_clock"] else ""
        table.add_row(
            line["method"], *figures(line), str(line["runs"]), f"{line['cases']:,}",
            f"{line['seconds']:.0f}", clock,
        )  # fmt: skip
    out = open_console()
    out.print(table)
    for line in rows:
        if line.get("tuning", {}).get("cut_short"):
            out.print(f"{line['method']}: tuning was cut short after {line['tuning']['fits']} tries")
    for name, interval in claims.items():
        out.print(f"{name:24} {interval.value:.3f}  ({interval.low:.3f}–{interval.high:.3f})")
    out.print(f"{rows[-1]['seconds']:.0f} s in all; intervals: 95 %, bootstrap over cases and seeds")
