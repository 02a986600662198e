"""Texts from item fields: expected ones written out by hand."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from learn_features.config import EncoderConfig
from learn_features.content import sources
from learn_features.content.spec import encoder_spec
from learn_features.content.templates import PRESETS, item_texts, resolve
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import ConfigError, DataError

PAPER = encoder_spec(EncoderConfig(template="paper"))
DESCRIPTION = encoder_spec(EncoderConfig())


def _text(spec: EncoderSpec, **fields: object) -> str:
    return item_texts(pl.DataFrame({name: [value] for name, value in fields.items()}), spec)[0]


def test_papers_prompt_word_for_word() -> None:
    text = _text(
        PAPER,
        title="Trail shoe",
        category="Shoes",
        brand="Acme",
        price=79.9,
        keywords="running, light",
        attributes="free return",
    )
    assert text == (
        'The item information is given as follows. Item title is "Trail shoe". This item belongs to "Shoes" '
        'and brand is "Acme". The price is "79.9". The key words of items are "running, light". The item '
        'supports "free return".'
    )


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        ({}, ""),
        ({"category": "Shoes"}, ' This item belongs to "Shoes".'),
        ({"brand": "Acme"}, ' Its brand is "Acme".'),
        ({"category": None, "brand": "Acme", "price": 5}, ' Its brand is "Acme". The price is "5".'),
        ({"category": "", "brand": "  ", "price": float("nan")}, ""),
        ({"category": "None", "brand": "nan", "keywords": "N/A"}, ""),
        ({"price": 12.0}, ' The price is "12".'),
        ({"price": 0.1 + 0.2}, ' The price is "0.3".'),
        ({"category": ["Home", "Lamps"]}, ' This item belongs to "Home, Lamps".'),
    ],
)
def test_missing_fields_leave_nothing_behind(fields: dict[str, object], rest: str) -> None:
    start = 'The item information is given as follows. Item title is "Lamp".'
    assert _text(PAPER, title="Lamp", **fields) == start + rest


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Salt &amp; Pepper &#39;Set&#39;", "Salt & Pepper 'Set'"),
        ("5&amp;quot; pipe", '5" pipe'),
        ("<b>Bold</b><br/>claim", "Bold claim"),
        ("&lt;p&gt;hidden tag&lt;/p&gt;", "hidden tag"),
        ("a < b > c", "a < b > c"),
        ("tab\tnew\nline\r\n\x00bell\x07", "tab new line bell"),
        ("zero\u200bwidth\ufeff and\u00a0space", "zero width and space"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀 钢笔 ручка", "👩\u200d🚀 钢笔 ручка"),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    assert _text(PAPER, title=raw).endswith(f'Item title is "{cleaned}".')


def test_description_is_cut_to_64_tokens_of_the_encoder() -> None:
    words = [f"unbelievable{n}" for n in range(100)]
    text = _text(DESCRIPTION, title="Lamp", description=" ".join(words))
    cut = text.split('The description is "')[1].removesuffix('".')
    tokenizer = AutoTokenizer.from_pretrained(sources.locate(EncoderConfig()).folder)
    assert " ".join(words).startswith(cut)
    assert len(tokenizer.tokenize(cut)) <= 64
    longer = " ".join(words)[: len(cut) + 15]
    assert len(tokenizer.tokenize(longer)) > 64
    assert 'description is "short one"' in _text(DESCRIPTION, title="Lamp", description="short one")


def test_rows_keep_their_order_and_their_own_fields() -> None:
    items = pl.DataFrame(
        {
            "title": [f"t{n}" for n in range(6)],
            "description": [None, "d1", "", "x " * 300, None, "d5"],
            "brand": ["b0", None, "b2", None, None, "b5 &amp; co"],
        }
    )
    texts = item_texts(items, DESCRIPTION)
    assert texts == [item_texts(items[n], DESCRIPTION)[0] for n in range(6)]
    assert [f'"t{n}"' in text for n, text in enumerate(texts)] == [True] * 6
    assert ['"d1"' in t for t in texts] == [False, True, False, False, False, False]
    assert texts[5].endswith('Its brand is "b5 & co". The description is "d5".')


def test_no_items_and_no_title() -> None:
    assert item_texts(pl.DataFrame({"title": []}, schema={"title": pl.String}), DESCRIPTION) == []
    with pytest.raises(DataError, match="title"):
        item_texts(pl.DataFrame({"name": ["x"]}), PAPER)


def test_own_template() -> None:
    spec = PAPER.model_copy(update={"template": resolve("{title}[ by {brand}][ in {category}| for {price}]")})
    assert _text(spec, title="Lamp", brand="Acme", category="Home", price=5) == "Lamp by Acme in Home"
    assert _text(spec, title="Lamp", price=5) == "Lamp for 5"
    assert _text(spec, title="Lamp") == "Lamp"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{title} {colour}", "colour"),
        ("papers", "no preset"),
        ("{title}, {category}", "must stand in brackets"),
        ("{title}[ {brand}", "closed"),
        ("[a [ {brand}]] {title}", "closed|nested"),
        ("{title} {", "braces"),
    ],
)
def test_wrong_templates_are_refused(template: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        resolve(template)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.text(max_size=40) for name in ("category", "brand", "keywords", "attributes")
        },
    )
)
def test_any_text_gives_a_clean_sentence(fields: dict[str, str | None]) -> None:
    columns = {name: pl.Series([value], dtype=pl.String) for name, value in fields.items()}
    text = item_texts(pl.DataFrame({"title": ["Lamp"], **columns}), PAPER)[0]
    assert text == " ".join(text.split())
    assert not any(ord(character) < 32 for character in text)
    for sentence in ("belongs to", "key words", "supports"):
        assert text.count(sentence) <= 1 + sum((v or "").count(sentence) for v in fields.values())


def test_a_character_number_of_any_length_is_no_error() -> None:
    title = "&#" + "9" * 5000 + ";"
    assert title in item_texts(pl.DataFrame({"title": [title, "Lamp"]}), PAPER)[0]


def test_presets_are_valid() -> None:
    assert {resolve(name) for name in PRESETS} == set(PRESETS.values())
