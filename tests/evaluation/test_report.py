"""The sentence names the winner, whoever it is."""

from learn_features.evaluation.report import ranked, reservation, sentence


def _methods(**recalls: float) -> dict[str, dict[str, float]]:
    return {name: {"recall_at_10": value, "ndcg_at_10": value / 2} for name, value in recalls.items()}


def test_towers_win() -> None:
    methods = _methods(towers=0.22, item_cf=0.2, popularity=0.05)
    assert ranked(methods) == ["towers", "item_cf", "popularity"]
    assert sentence(methods) == (
        "On Recall@10 the trained towers win with 0.2200, 10.0 % above tuned item-CF (0.2000)."
    )


def test_towers_lose_and_it_is_said() -> None:
    text = sentence(_methods(towers=0.15, item_cf=0.2, content=0.08, popularity=0.03))
    assert text == (
        "On Recall@10 tuned item-CF wins with 0.2000, 33.3 % above the trained towers (0.1500). "
        "The towers come second with 0.1500: they beat unaligned content vectors and popularity "
        "and lose to tuned item-CF."
    )


def test_towers_last_and_zero() -> None:
    text = sentence(_methods(towers=0.0, item_cf=0.2, popularity=0.1))
    assert text.endswith("third with 0.0000: they beat nothing and lose to tuned item-CF and popularity.")
    assert "far above" in sentence(_methods(item_cf=0.1, towers=0.0))


def test_equal_values_are_level() -> None:
    level = _methods(towers=0.1, item_cf=0.2, content=0.1, popularity=0.05)
    assert sentence(level).endswith(
        "second with 0.1000: they beat popularity, are level with unaligned content vectors"
        " and lose to tuned item-CF."
    )
    first = _methods(towers=0.1, popularity=0.1, content=0.08)
    first["popularity"]["ndcg_at_10"] = 0.09
    assert sentence(first) == (
        "On Recall@10 popularity and the trained towers are level with 0.1000, 25.0 % above"
        " unaligned content vectors (0.0800)."
    )


def test_where_all_are_level_nobody_wins() -> None:
    level = _methods(towers=1.0, content=1.0)
    level["content"]["ndcg_at_10"] = 0.9
    assert sentence(level) == "On Recall@10 all methods are level, with 1.0000."
    lead = {"content": {"recall_at_10": {"low": 0.0, "high": 0.0}}}
    assert not reservation(_methods(towers=1.0, content=1.0), lead, 1000)


def test_a_few_cases_tell_nothing() -> None:
    lead = {"content": {"recall_at_10": {"low": -0.5, "high": -0.5}}}
    assert reservation(_methods(towers=0.0, content=0.5), lead, 1) == " Too few to tell: 1 test user."


def test_nobody_wins_with_nothing() -> None:
    assert sentence(_methods(towers=0.0, content=0.0)) == "On Recall@10 no method finds anything."


def test_what_the_cases_do_not_tell_apart_is_said() -> None:
    methods = _methods(towers=0.172, item_cf=0.175, popularity=0.05)
    for low, high, said in ((-0.012, 0.007, True), (0.001, 0.02, False), (-0.02, -0.001, False)):
        lead = {"item_cf": {"recall_at_10": {"low": low, "high": high}}}
        text = reservation(methods, lead, 1000)
        assert bool(text) == said
        if said:
            assert text == (
                " Too close to call: the towers' lead over tuned item-CF has the 95 % interval"
                " -0.0120 to +0.0070."
            )
    assert not reservation(_methods(towers=0.1), {}, 1000)
