"""Ids are part of the formats: these values must never change."""

from learn_features.contracts import identity
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec


def test_event_id_is_pinned_and_separates_its_parts() -> None:
    assert identity.event_id("u1", "i1", 1_700_000_000_000_000, "click") == PINNED_EVENT_ID
    assert identity.event_id("a", "bc", 1, "x") != identity.event_id("ab", "c", 1, "x")


def test_rule_id_depends_on_every_field() -> None:
    rules = [
        HistoryRule(),
        HistoryRule(max_length=51),
        HistoryRule(min_value=0.0),
        HistoryRule(event_types=("click",)),
    ]
    assert len({rule.id for rule in rules}) == len(rules)
    assert HistoryRule().id == PINNED_RULE_ID


def test_encoder_id_changes_with_everything_that_changes_a_vector() -> None:
    base = {"model": "m", "revision": "r", "template": "{title}", "dimension": 384}
    specs = [EncoderSpec(**base)]
    for change in (
        {"model": "n"},
        {"revision": "s"},
        {"template": "{brand}"},
        {"pooling": "cls"},
        {"normalize": True},
        {"max_tokens": 8},
        {"description_tokens": 64},
        {"precision": "bf16"},
        {"dimension": 385},
    ):
        specs.append(EncoderSpec(**{**base, **change}))
    assert len({spec.id for spec in specs}) == len(specs)


def test_space_id_is_a_hash_of_its_four_parts_only() -> None:
    parts = {"encoder": "e1", "history_rule": {"a": 1}, "towers": {"d": 64}, "weights_sha256": "w"}
    first = identity.space_id(**parts)
    assert first == identity.space_id(**parts)
    assert first != identity.space_id(**{**parts, "weights_sha256": "x"})
    assert first[0] == "s"
    assert len(first) == 13


PINNED_EVENT_ID = "a9583a6094395aeb65495aabe5ec6c90"
PINNED_RULE_ID = "ha7b7d9801896"
