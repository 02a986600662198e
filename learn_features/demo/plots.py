"""The report's plots, each as an SVG or PNG that can stand in an HTML page."""

import base64
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn_features.demo.story import Story
from learn_features.demo.summary import METHODS, by_recall

INK, MUTED, ACCENT, SOFT = "#1f2933", "#7b8794", "#0f766e", "#cbd5e1"
_GROUP_COLOURS = (
    "#0f766e", "#d97706", "#7c3aed", "#dc2626", "#2563eb", "#65a30d", "#db2777", "#0891b2", "#a16207",
)  # fmt: skip
_OTHER = "other"
_LEAST_FOR_A_MAP = 5
_SECONDS_BEFORE = 1.0


def plane(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """A plane (n, 2) on which near `vectors` (n, D), by cosine, lie near each other (t-SNE)."""
    if len(vectors) < _LEAST_FOR_A_MAP:
        return np.zeros((len(vectors), 2), np.float32)
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    found = TSNE(metric="cosine", perplexity=perplexity, random_state=0).fit_transform(vectors)
    return np.asarray(found, np.float32)


def loss(story: Story) -> str:
    """Training loss by epoch, a line a phase, and validation NDCG@10 where it was measured."""
    with _figure(6.2, 3.1) as (figure, axes):
        for phase, line in zip(dict.fromkeys(story.phases), ("-", "--"), strict=False):
            epochs = [n for n, name in enumerate(story.phases, start=1) if name == phase]
            losses = [story.losses[n - 1] for n in epochs]
            axes.plot(epochs, losses, line, color=ACCENT, marker="o", markersize=4, linewidth=2)
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss", color=ACCENT)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if story.validation:
            right = axes.twinx()
            right.plot(range(1, len(story.validation) + 1), story.validation, color="#d97706", linewidth=2)
            right.set_ylabel("validation NDCG@10", color="#d97706")
            right.spines[["top", "left"]].set_visible(False)
            right.set_ylim(bottom=0)
        return _svg(figure)


def quality(methods: dict[str, dict[str, float]]) -> str:
    """Recall@10 and NDCG@10 of every method, best on top."""
    with _figure(6.2, 3.1) as (figure, axes):
        ranked = by_recall(methods)[::-1]
        places = np.arange(len(ranked))
        for offset, metric, label, shade in (
            (0.2, "recall_at_10", "Recall@10", 1.0),
            (-0.2, "ndcg_at_10", "NDCG@10", 0.45),
        ):
            values = [figures[metric] for _, figures in ranked]
            colours = [ACCENT if name == "towers" else MUTED for name, _ in ranked]
            bars = axes.barh(places + offset, values, height=0.36, color=colours, alpha=shade, label=label)
            axes.bar_label(bars, fmt=f"%.4f  {label}", padding=3, fontsize=7.5, color=MUTED)
        axes.set_yticks(places, [METHODS.get(name, name) for name, _ in ranked])
        axes.margins(x=0.3)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(left=False)
        return _svg(figure)


def item_map(story: Story) -> str:
    """Items on a plane that keeps neighbours, by category; the nine largest have a colour."""
    with _figure(9.2, 5.2) as (figure, axes):
        points = np.asarray(story.map_points)
        largest = [group for group, _ in Counter(filter(None, story.map_groups)).most_common(9)]
        groups = np.array([group if group in largest else _OTHER for group in story.map_groups])
        for number, group in enumerate([_OTHER, *largest]):
            mine = points[groups == group]
            if len(mine):
                colour = SOFT if group == _OTHER else _GROUP_COLOURS[number - 1]
                axes.scatter(mine[:, 0], mine[:, 1], s=9, color=colour, alpha=0.75, linewidths=0, label=group)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if largest:
            axes.legend(
                loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8.5, markerscale=2
            )
        return _png(figure)


def freshness(story: Story) -> str:
    """Each measured time from upload or click to readable."""
    with _figure(6.2, 2.2) as (figure, axes):
        for place, values, colour in ((1, story.item_seconds, ACCENT), (0, story.user_seconds, "#d97706")):
            axes.scatter(values, np.full(len(values), place), s=42, color=colour, alpha=0.7, linewidths=0)
        axes.set_yticks([1, 0], ["new item", "changed user"])
        axes.set_ylim(-0.6, 1.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("seconds from upload or click to readable through Feast")
        axes.grid(axis="x", color=SOFT, linewidth=0.6)
        axes.tick_params(left=False)
        return _svg(figure)


def roll_out(story: Story) -> str:
    """Reads a second by the space they were answered from, while the slot moved."""
    with _figure(9.2, 2.6) as (figure, axes):
        spaces = list(dict.fromkeys(space for _, space, _ in story.timeline))
        tenths = max(2, max((at for at, _, _ in story.timeline), default=0) // 200)
        width = tenths / 10
        for space, colour in zip(spaces, (ACCENT, "#d97706", "#7c3aed"), strict=False):
            counts: Counter[int] = Counter()
            for at, name, reads in story.timeline:
                if name == space:
                    counts[at // tenths] += reads
            axes.bar(
                [n * width for n in counts],
                [v / width for v in counts.values()],
                width=width,
                align="edge",
                color=colour,
                label=space,
            )
        for moment, what in story.moves:
            axes.axvline(moment, color=INK, linewidth=0.7, linestyle=":")
            axes.annotate(
                what, (moment, 1.02), xycoords=("data", "axes fraction"), fontsize=7, rotation=25, color=INK
            )
        axes.set_xlabel("seconds")
        axes.set_ylabel("reads a second")
        axes.set_xlim(left=-_SECONDS_BEFORE)
        axes.legend(loc="lower left", frameon=True, framealpha=0.9, fontsize=7.5)
        return _svg(figure)


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    style = {
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.edgecolor": SOFT,
        "axes.labelcolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "learn-features",
        "svg.fonttype": "none",
    }
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
        try:
            yield figure, axes
        finally:
            pyplot.close(figure)


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'class="plot"', text, count=1)


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, transparent=True)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="plot" src="data:image/png;base64,{encoded}" alt="map of item embeddings">'
