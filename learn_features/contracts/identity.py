"""Ids that are hashes: the same content gives the same id on every machine."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_SEPARATOR = b"\x1f"


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """The one JSON text of `value`: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def short_hash(value: Mapping[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:12]


def event_id(user_id: str, item_id: str, event_timestamp_us: int, event_type: str) -> str:
    """Id (32 hex digits) of an interaction that carries none: repeats within a µs are one event."""
    parts = (user_id.encode(), item_id.encode(), b"%d" % event_timestamp_us, event_type.encode())
    return hashlib.blake2b(_SEPARATOR.join(parts), digest_size=16).hexdigest()


def rule_id(rule: Mapping[str, Any]) -> str:
    """Id of a history rule, `h` + 12 hex digits."""
    return "h" + short_hash(rule)


def encoder_id(parts: Mapping[str, Any]) -> str:
    """Id of a content encoder, `e` + 12 hex digits: hash over everything that changes a vector."""
    return "e" + short_hash(parts)


def space_id(
    *, encoder: str, history_rule: Mapping[str, Any], towers: Mapping[str, Any], weights_sha256: str
) -> str:
    """Id of an embedding space, `s` + 12 hex digits. No times, no metrics, no ONNX."""
    return "s" + short_hash(
        {"encoder": encoder, "history": history_rule, "towers": towers, "weights": weights_sha256}
    )
