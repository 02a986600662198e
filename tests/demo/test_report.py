"""The report: self-contained, escaped, its first line in words; figures come from what it is given."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from learn_features.demo import plots, report
from learn_features.demo.story import Story
from learn_features.demo.summary import Summary


class Page(HTMLParser):
    """Text in order, and everything that would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        for name, value in attributes:
            if (
                name in ("src", "href", "xlink:href", "srcset")
                and value
                and not value.startswith(("data:", "#"))
            ):
                self.fetched.append(value)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"style", "title"} & set(self.open):
            self.texts.append(data.strip())


def test_the_first_line_says_in_words_which_method_wins(summary: Summary, story: Story) -> None:
    page = Page(report.render(summary, story))
    assert page.texts[0] == summary.sentence


def test_nothing_is_fetched(summary: Summary, story: Story) -> None:
    text = report.render(summary, story)
    assert Page(text).fetched == []
    assert "<script" not in text
    assert not re.search(r"@import|url\((?!#)", text)


def test_figures_and_titles_are_in_it(summary: Summary, story: Story) -> None:
    text = " ".join(Page(report.render(summary, story)).texts)
    for wanted in (
        "0.150",
        "2.50 ×",
        "1.50 ×",
        "5,000",
        "Trail shoe & gaiter 4",
        "1502",
        "dot-product__s0123456789ab",
    ):
        assert wanted in text


def test_a_data_set_without_categories_or_clicks_has_a_report(summary: Summary) -> None:
    bare = Story(
        map_points=[(0.0, 1.0), (1.0, 0.0)], map_groups=["", ""], item_seconds=[1.0], user_seconds=[1.0]
    )
    assert "Where the items lie" in report.render(summary, bare)


def test_groups_of_vectors_stay_together_on_the_map() -> None:
    random = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], 30)
    points = plots.plane((np.eye(3)[group] + 0.05 * random.normal(size=(90, 3))).astype(np.float32))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).all()
    assert plots.plane(np.zeros((2, 3), np.float32)).shape == (2, 2)


def test_summary_and_story_survive_their_files(tmp_path: Path, summary: Summary, story: Story) -> None:
    summary.write(tmp_path / "summary.json")
    story.write(tmp_path / "story.json")
    assert Summary.read(tmp_path / "summary.json") == summary
    read = Story.read(tmp_path / "story.json")
    assert report.render(summary, read) == report.render(summary, story)
    assert summary.lift_over("popularity") == 2.5
