"""Which method wins, in words."""

from collections.abc import Mapping

from learn_features.evaluation.metrics import JUDGED_BY, SELECTED_BY

FEW = 30
"""Below so many cases intervals are narrower than they should be."""

NAMES = {
    "towers": "the trained towers",
    "popularity": "popularity",
    "recent_popularity": "the popularity just before the request",
    "item_cf": "tuned item-CF",
    "content": "unaligned content vectors",
    "ease": "EASE",
    "ridge": "ridge regression on the past",
    "sasrec": "SASRec",
    "text_model": "a text transformer (UniSRec)",
}

SHORT = {
    **NAMES,
    "towers": "towers",
    "recent_popularity": "popularity just before",
    "item_cf": "item-CF",
    "content": "content alone",
    "ridge": "ridge",
    "text_model": "text model",
    "as_served": "towers, as served",
}
"""For tables."""

PLACES = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def ranked(methods: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Methods, best Recall@10 first; NDCG@10 where that is level."""
    return sorted(methods, key=lambda m: (-methods[m][JUDGED_BY], -methods[m].get(SELECTED_BY, 0.0), m))


def sentence(methods: Mapping[str, Mapping[str, float]]) -> str:
    """One or two sentences: who wins by how much, and where the towers stand."""
    order = ranked(methods)
    best = methods[order[0]][JUDGED_BY]
    if best == 0:
        return "On Recall@10 no method finds anything."
    first = [method for method in order if methods[method][JUDGED_BY] == best]
    if 1 < len(first) == len(order):
        return f"On Recall@10 all methods are level, with {best:.4f}."
    does = "are level" if len(first) > 1 else "win" if first[0] in ("towers", "content") else "wins"
    text = f"On Recall@10 {_all(first)} {does} with {best:.4f}"
    if len(first) < len(order):
        after = order[len(first)]
        text += f", {_gap(methods, order[0], after)} {NAMES.get(after, after)}"
        text += f" ({methods[after][JUDGED_BY]:.4f})"
    if "towers" not in methods:
        return text + "."
    towers = methods["towers"][JUDGED_BY]
    better = [method for method in order if methods[method][JUDGED_BY] > towers]
    if better:
        level = [m for m in order if methods[m][JUDGED_BY] == towers and m != "towers"]
        worse = [method for method in order if methods[method][JUDGED_BY] < towers]
        text += f". The towers come {PLACES[len(better) - 1]} with {towers:.4f}: they beat "
        text += _all(worse) if worse else "nothing"
        text += f", are level with {_all(level)}" if level else ""
        text += f" and lose to {_all(better)}"
    return text + "."


def as_served(methods: Mapping[str, Mapping[str, float]], figures: Mapping[str, float]) -> str:
    """A sentence: what the towers are without seeing when a history ended, which no baseline sees."""
    better = [m for m in ranked(methods) if m != "towers" and methods[m][JUDGED_BY] > figures[JUDGED_BY]]
    return (
        f" They see when a history ended; asked at the end of the log, as a bundle is served, the towers have"
        f" {figures[JUDGED_BY]:.4f}" + (f" and lose to {_all(better)}." if better else ".")
    )


def reservation(
    methods: Mapping[str, Mapping[str, float]],
    lead: Mapping[str, Mapping[str, Mapping[str, float]]],
    cases: int,
) -> str:
    """A sentence where these cases do not tell the towers from the best of the others, else nothing.

    `lead`: the towers' minus each other method's metrics, with the bounds `low` and `high`, over so many
    `cases`: of a few a bootstrap knows nothing.
    """
    if cases < FEW:
        return f" Too few to tell: {cases} test user{'s' * (cases != 1)}."
    rival = next((method for method in ranked(methods) if method != "towers"), "")
    bounds = lead.get(rival, {}).get(JUDGED_BY)
    if bounds is None or bounds["low"] == bounds["high"] or not bounds["low"] <= 0 <= bounds["high"]:
        return ""
    return (
        f" Too close to call: the towers' lead over {NAMES.get(rival, rival)} has the 95 % interval"
        f" {bounds['low']:+.4f} to {bounds['high']:+.4f}."
    )


def _gap(methods: Mapping[str, Mapping[str, float]], better: str, worse: str) -> str:
    high, low = methods[better][JUDGED_BY], methods[worse][JUDGED_BY]
    return f"{(high / low - 1) * 100:.1f} % above" if low > 0 else "far above"


def _all(methods: list[str]) -> str:
    names = [NAMES.get(method, method) for method in methods]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
