"""Groups for maps and marks, on the kinds of category that catalogues have."""

from learn_features.demo.groups import broad_groups


def test_a_path_gives_its_first_level() -> None:
    assert broad_groups(["Home > Lamps", "Music > Strings", None, "Home > Rugs", "Music"]) == [
        "Home", "Music", None, "Home", "Music",
    ]  # fmt: skip


def test_a_level_that_says_the_same_of_most_items_is_passed_over() -> None:
    shared = ["Science,Lab,Glass", "Science,Tape", "Science,Lab,Metal", "Science,Print,Ink"]
    assert broad_groups(shared) == ["Lab", "Tape", "Lab", "Print"]


def test_without_categories_there_are_no_groups() -> None:
    assert broad_groups([None, None]) == [None, None]
    assert broad_groups([]) == []
    assert broad_groups(["All", "All"]) == ["All", "All"]
