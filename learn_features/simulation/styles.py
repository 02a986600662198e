"""Styles run through all categories: who buys a bamboo lunch box also looks at hemp jackets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """Words that give a style away in an item's text; `price_level` multiplies the price."""

    name: str
    adjectives: tuple[str, ...]
    materials: tuple[str, ...]
    keywords: tuple[str, ...]
    phrases: tuple[str, ...]
    brands: tuple[str, ...]
    price_level: float


_TABLE = (
    (
        "natural",
        "organic|plant-based|undyed|recycled",
        "bamboo|cork|hemp|recycled cotton",
        "eco-friendly|sustainable|plastic-free|low waste",
        "Made from renewable materials and shipped without plastic|Repairable, compostable and honest",
        "Lindwell|Mosskin|Terraloom|Halm & Root|Oakenfold|Verdane|Seedling Co",
        1.15,
    ),
    (
        "premium",
        "professional|handcrafted|luxury|precision",
        "full-grain leather|brushed steel|walnut|titanium",
        "premium|gift|lifetime warranty|studio grade",
        "Built by specialists and guaranteed for ten years|Every detail is machined and finished by hand",
        "Aurelian|Maison Kestrel|Brandt & Voss|Carrick Row|Montclair|Ostrava|Sterling Ridge",
        1.7,
    ),
    (
        "budget",
        "basic|everyday|simple|value",
        "polyester|plastic|polypropylene|cotton blend",
        "affordable|value pack|starter|student",
        "Does the job and leaves money for the rest|Plain, light and hard to beat for the price",
        "Brisko|Everline|Penny Park|Savvo|Homely|Quickmart|Nordo",
        0.6,
    ),
    (
        "retro",
        "vintage|classic|heritage|retro",
        "brass|enamelled steel|waxed canvas|corduroy",
        "nostalgic|timeless|old school|collector",
        "A pattern from the fifties, made again on the old machines|Ages well and looks better every year",
        "Hartley & Sons|Bellweather|Old Mill|Cartwright|Palmerston|Roadhouse|Fennimore",
        1.1,
    ),
    (
        "playful",
        "colourful|pastel|fun|cartoon-print",
        "silicone|felt|foam|soft jersey",
        "cute|bright|kids love it|cheerful",
        "Bright prints that make people smile|Comes in a surprise colour mix with stickers",
        "Pippola|Zuzu|Happy Otter|Jellybean|Confetti Lane|Bubblo|Wobble",
        0.85,
    ),
    (
        "smart",
        "smart|app-controlled|modular|high-tech",
        "anodised aluminium|carbon fibre|tempered glass|ripstop nylon",
        "connected|innovative|USB-C|minimal design",
        "Pairs with an app and gets better with updates|Engineered as one system of clever parts",
        "Voltari|Nexon|Kairo Labs|Quantis|Iolite|Strand & Byte|Helix One",
        1.3,
    ),
)

STYLES: tuple[Style, ...] = tuple(
    Style(
        name,
        tuple(adjectives.split("|")),
        tuple(materials.split("|")),
        tuple(keywords.split("|")),
        tuple(phrases.split("|")),
        tuple(brands.split("|")),
        level,
    )
    for name, adjectives, materials, keywords, phrases, brands, level in _TABLE
)

COLOURS = (
    "black", "white", "sand", "olive", "navy", "rust", "sage", "charcoal", "mustard", "sky blue", "cream",
    "burgundy", "forest green", "graphite", "rose", "teal",
)  # fmt: skip
SIZES = ("small", "medium", "large", "extra large", "compact", "one size")
