"""`evaluation.json`, read back."""

import json
import math
from pathlib import Path
from typing import Any

from learn_features.errors import DataError

TOWERS = "towers"
"""Method that every evaluation has, and whose metrics stand in a manifest under their own names."""


def read_evaluation(file: str | Path) -> dict[str, Any]:
    """What `evaluate_run` wrote to `file`; `DataError` where it is not that."""
    try:
        found = json.loads(Path(file).read_text(), parse_int=float)
    except FileNotFoundError:
        raise DataError(f"{file}: is not there; run `learn-features evaluate` first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: is no evaluation: {error}") from None
    methods = found.get("methods") if isinstance(found, dict) else None
    figures = methods.get(TOWERS) if isinstance(methods, dict) else None
    if not (
        isinstance(methods, dict) and isinstance(figures, dict) and figures and "weights_sha256" in found
    ):
        raise DataError(
            f"{file}: is no evaluation: weights_sha256, or figures of methods.{TOWERS}, are missing;"
            " run `learn-features evaluate` again"
        )
    parts = {f"methods.{name}": values for name, values in methods.items()}
    parts |= {"as_served": found["as_served"]} if "as_served" in found else {}
    parts["itself"] = {name: found[name] for name in ("test_users", "mask_history") if name in found}
    for part, values in parts.items():
        if not (isinstance(values, dict) and all(map(_finite, values.values()))):
            raise DataError(
                f"{file}: is no evaluation: not every figure of {part} is a finite number;"
                " run `learn-features evaluate` again"
            )
    return found


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
