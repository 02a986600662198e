"""report.html: one file without any outside reference, from a Summary and a Story."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from learn_features.demo import plots
from learn_features.demo.story import Recommendation, Story
from learn_features.demo.summary import Summary
from learn_features.durable import write_text

_PAGE = "report_page.html"


def write_report(path: Path, summary: Summary, story: Story) -> None:
    """Render and write the page, whole or not at all."""
    write_text(path, render(summary, story))


def render(summary: Summary, story: Story) -> str:
    """The page's text; the first line of its body says which method wins."""
    page = Template(resources.files("learn_features.demo").joinpath(_PAGE).read_text())
    stream, rollout = summary.stream, summary.rollout
    return page.substitute(
        verdict=escape(summary.sentence),
        about=escape(_about(summary)),
        tiles=_tiles(summary),
        quality_note=escape(
            f"Split: {summary.data.get('split', '')}. Whole catalogue ranked, seen items left out, "
            f"ties count against. {summary.data.get('test_cases', 0)} test cases."
        ),
        quality_plot=plots.quality(summary.quality),
        loss_note=escape(_training(summary, story)),
        loss_plot=plots.loss(story) if story.losses else "",
        map_note=escape(
            f"{len(story.map_points):,} item vectors of the space, coloured by category: items that lie near "
            "each other are near in the space (t-SNE by cosine; distances between groups mean little)."
        ),
        map_plot=plots.item_map(story) if story.map_points else "",
        clicks_note=escape(_clicks(story)),
        before=_places("Before", story.before, story.clicked),
        after=_places("After", story.after, story.clicked),
        freshness_note=escape(
            f"{stream['events']} events sent, a consumer killed with SIGKILL among them: {stream['lost']} "
            f"lost, {stream['dead_letters']} dead letters."
        ),
        freshness_plot=plots.freshness(story),
        experiment_note=escape(_experiment(summary)),
        experiment=_table(
            ("arm", "ranker", "users"),
            [(a["arm"], a["ranker"], str(a["users"])) for a in summary.experiment.get("arms", [])],
        ),
        rollout_note=escape(
            f"A second space was filled, promoted and rolled back while a reader read the slot: "
            f"{rollout['reads']} reads, {rollout['errors']} errors, {rollout['mixed']} mixed. "
            f"Reads a second by the space that answered:"
        ),
        rollout_plot=plots.roll_out(story) if story.timeline else "",
        steps=_table(
            ("step", "expected", "taken"),
            [(s["title"], f"{s['expected_seconds']:.0f} s", f"{s['seconds']:.1f} s") for s in summary.steps],
        ),
    )


def _about(summary: Summary) -> str:
    data = summary.data
    return (
        f"{data.get('name', 'data')}: {data.get('items', 0):,} items, {data.get('users', 0):,} users, "
        f"{data.get('interactions', 0):,} interactions. The whole run took {summary.wall_seconds:.0f} s."
    )


def _tiles(summary: Summary) -> str:
    figures = [
        (f"{summary.quality['towers']['recall_at_10']:.3f}", "Recall@10 of the towers"),
        (f"{summary.lift_over('popularity'):.2f} ×", "of popularity's Recall@10"),
        (f"{summary.lift_over('content'):.2f} ×", "of unaligned content's"),
        (f"{summary.freshness['item_seconds']:.2f} s", "until a new item is readable, at most"),
        (f"{summary.freshness['user_seconds']:.2f} s", "until a click is readable, at most"),
        (f"{summary.stream['lost']}", "events lost over a SIGKILL"),
        (f"{summary.rollout['mixed']}", f"mixed reads of {summary.rollout['reads']:,}"),
        (f"{summary.parity['max_abs_diff']:.0e}", "ONNX against torch"),
    ]
    return "".join(f'<div class="tile"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in figures)


def _training(summary: Summary, story: Story) -> str:
    final = ", the last ones (dashed) with the validation interactions in" if "final" in story.phases else ""
    return f"{len(story.losses)} epochs{final}; {summary.data.get('train_seconds', 0):.0f} s."


def _clicks(story: Story) -> str:
    clicked = "; ".join(place.title for place in story.clicked)
    return f"User {story.user_id} clicked: {clicked}. Marked: same category as a clicked item."


def _experiment(summary: Summary) -> str:
    experiment = summary.experiment
    return (
        f"{experiment.get('name', '')}: {experiment.get('users', 0):,} users assigned by a salted hash; "
        f"the same again on a second look-up: {'yes' if experiment.get('stable') else 'no'}."
    )


def _places(title: str, places: Iterable[Recommendation], clicked: Sequence[Recommendation]) -> str:
    wanted = {place.category for place in clicked if place.category}
    rows = [
        f'<tr{" class=match" if place.category in wanted else ""}><td class="number">{number}</td>'
        f"<td>{escape(place.title)}<br><small>{escape(place.category or '')}</small></td>"
        f'<td class="number">{place.score:.3f}</td></tr>'
        for number, place in enumerate(places, start=1)
    ]
    head = f'<tr><th></th><th>{escape(title)}</th><th class="number">score</th></tr>'
    return f"<table>{head}{''.join(rows)}</table>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
