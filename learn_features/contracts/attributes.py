"""What further fields of an item say, as text: a `year` of 2013 is "year 2013", in tables and in events."""

import math
from collections.abc import Iterable
from typing import Any

from learn_features.contracts import columns as c

SEPARATOR = "; "
LIST_SEPARATOR = ", "


def label(name: str) -> str:
    """The field's name as it stands in the text."""
    return name.replace("_", " ") + " "


def joined(given: str | None, further: Iterable[tuple[str, Any]]) -> str | None:
    """`given` and the (name, value) of `further`: "waterproof; year 2013". None where nothing says anything.

    Values are text, numbers and lists of them; others, and such as only say that there is none, are left out.
    """
    texts = [(label(name), _text(value)) for name, value in further]
    parts = [("", _present(given or "")), *texts]
    return SEPARATOR.join(name + text for name, text in parts if text) or None


def number_text(value: float) -> str:
    """Without the `.0` of whole numbers, as in tables; empty where there is none (NaN, infinite)."""
    return str(value).removesuffix(".0") if math.isfinite(value) else ""


def list_text(parts: Iterable[Any]) -> str:
    """Elements with commas between them; without what is none, blank or no number (NaN, infinite)."""
    texts = ("" if part is None or _is_no_number(part) else str(part) for part in parts)
    return LIST_SEPARATOR.join(text for text in texts if text.strip())


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        if any(isinstance(part, bool | dict | list | tuple) for part in value):
            return ""
        return _present(list_text(value)).strip()
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    return _present(str(value)).strip()


def _present(text: str) -> str:
    """Empty where a text only says that there is none."""
    return "" if text.strip().lower() in c.NO_VALUE else text if text.strip() else ""
