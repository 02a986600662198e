"""An item's texts: natural-looking, and telling of its sub-category, style, brand and features."""

import numpy as np

from learn_features.simulation.styles import COLOURS, SIZES, Style
from learn_features.simulation.subcategories import SubCategory

_TITLES = (
    "{brand} {adjective} {noun}, {colour}",
    "{brand} {noun} with {material} details, {size}",
    "{adjective} {noun} with {feature} by {brand}",
    "{brand} {noun} – {colour}, {material}",
    "{brand} {noun} with {feature}",
)
_DESCRIPTIONS = (
    "A {adjective} {noun} for {use}, with {feature} and {second}. {phrase}.",
    "{phrase}. This {noun} with {material} details comes with {feature} and is made for {use}.",
    "For {use}: a {colour} {noun} with {feature} and {second}.",
    "With {feature}, this {adjective} {noun} is ready for {use}. {phrase}.",
    "{material} and {feature} make this {noun} a good companion for {use}. It also has {second}.",
)


def item_fields(
    subcategory: SubCategory, style: Style, brand: str, rng: np.random.Generator
) -> dict[str, str | float]:
    """title, category, brand, price, keywords, attributes and description of one item."""
    feature, second = rng.choice(subcategory.features, size=2, replace=False)
    words = {
        "brand": brand,
        "noun": str(rng.choice(subcategory.nouns)),
        "adjective": str(rng.choice(style.adjectives)),
        "material": str(rng.choice(style.materials)),
        "phrase": str(rng.choice(style.phrases)),
        "colour": str(rng.choice(COLOURS)),
        "size": str(rng.choice(SIZES)),
        "feature": str(feature),
        "second": str(second),
        "use": subcategory.use,
    }
    keywords = [words["noun"], str(rng.choice(style.keywords)), subcategory.name.lower()]
    low, high = subcategory.price
    price = np.exp(rng.uniform(np.log(low), np.log(high))) * style.price_level
    return {
        "title": _capital(str(rng.choice(_TITLES)).format_map(words)),
        "category": f"{subcategory.category} > {subcategory.name}",
        "brand": brand,
        "price": round(float(price)) - 0.01 if price > 20 else round(float(price), 2),
        "keywords": ", ".join(keywords),
        "attributes": f"colour: {words['colour']}; material: {words['material']}; size: {words['size']}",
        "description": _article(_capital(str(rng.choice(_DESCRIPTIONS)).format_map(words))),
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _article(text: str) -> str:
    """ "A organic …" → "An organic …", at the start only."""
    return "An" + text[1:] if text.startswith("A ") and text[2] in "aeioAEIO" else text
