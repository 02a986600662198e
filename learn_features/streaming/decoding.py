"""Bytes of a record → event. Whatever is wrong with a record is a `BadRecord` with the reason."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from learn_features.config import Config
from learn_features.contracts import attributes as text_of
from learn_features.contracts import columns, events, names, times
from learn_features.contracts.events import InteractionRecord, ItemRecord, UserRefreshRecord
from learn_features.errors import BadRecord
from learn_features.streaming.records import Event, InteractionEvent, ItemEvent, Record, RefreshEvent

M = TypeVar("M", bound=BaseModel)


def decoder(config: Config) -> Callable[[Record], Event]:
    """`decode` with the settings' names."""
    return partial(decode, fields=config.kafka.fields, attributes=config.data.item_attributes)


def decode(record: Record, fields: Mapping[str, Mapping[str, str]], attributes: Sequence[str] = ()) -> Event:
    """The event of a record of `items`, `interactions` or `user_refresh`.

    `fields` is `config.kafka.fields`: contract topic → {contract field → field in its records}.
    `attributes` is `config.data.item_attributes`: further fields that join an item's attributes, as columns
    of these names do in a table. Raises `BadRecord`.
    """
    topic = record.partition.topic
    mapping = fields.get(topic, {})
    if topic == names.TOPIC_ITEMS:
        return _item(record, mapping, attributes)
    if topic == names.TOPIC_INTERACTIONS:
        interaction = _parsed(InteractionRecord, _body(record), mapping)
        _check_time(interaction.event_timestamp, record)
        return InteractionEvent(interaction, record.append_us)
    return RefreshEvent(_parsed(UserRefreshRecord, _body(record), mapping), record.append_us)


def _item(record: Record, mapping: Mapping[str, str], attributes: Sequence[str]) -> ItemEvent:
    try:
        key = record.key.decode() if record.key else None
    except UnicodeDecodeError:
        raise BadRecord("the key is not UTF-8") from None
    if not record.value:
        if not key:
            raise BadRecord("a deletion needs the item_id as key")
        return ItemEvent(key, None, record.append_us, record.offset)
    body = _body(record)
    further = [name for name in attributes if name not in mapping.values()]
    item = _described(_parsed(ItemRecord, body, mapping), body, further)
    if key is not None and key != item.item_id:
        raise BadRecord(f"the key is {key[:80]!r}, but item_id is {item.item_id[:80]!r}")
    return ItemEvent(item.item_id, item, record.append_us, record.offset)


def _described(item: ItemRecord, body: dict[str, Any], attributes: Sequence[str]) -> ItemRecord:
    """`item`, its attributes with what `body` says under the names of `attributes`."""
    further = [(name, body[name]) for name in attributes if name in body]
    if not further:
        return item
    text = text_of.joined(item.attributes, further)
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise BadRecord(f"{', '.join(name for name, _ in further)}: {error}") from None
    return item.model_copy(update={columns.ATTRIBUTES: text})


def _body(record: Record) -> dict[str, Any]:
    if not record.value:
        raise BadRecord("the record has no value")
    try:
        body = json.loads(record.value)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRecord(f"not a JSON object, but {type(body).__name__}")
    return body


def _parsed(model: type[M], body: dict[str, Any], mapping: Mapping[str, str]) -> M:
    try:
        return model.model_validate(_renamed(body, mapping))
    except ValidationError as error:
        raise BadRecord("; ".join(_problem(e["loc"], e["msg"], mapping) for e in error.errors())) from None
    except ArithmeticError as error:
        raise BadRecord(f"a number is out of range: {error}") from None


def _renamed(body: dict[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """`body` with contract names; a field that is mapped away is not read under its own name."""
    if not mapping:
        return body
    renamed = {name: value for name, value in body.items() if name not in mapping}
    return renamed | {ours: body[theirs] for ours, theirs in mapping.items() if theirs in body}


def _problem(location: tuple[int | str, ...], message: str, mapping: Mapping[str, str]) -> str:
    field = str(location[0]) if location else "record"
    return f"{mapping.get(field, field)}: {message}"


def _check_time(time_us: int, record: Record) -> None:
    if events.too_far_ahead(time_us, record.append_us):
        ahead = (time_us - record.append_us) / 1e6
        limit = times.FUTURE_TOLERANCE_US / 1e6
        raise BadRecord(
            f"{columns.EVENT_TIMESTAMP}: {ahead:.0f} s ahead of the time it was appended; "
            f"{limit:.0f} s are allowed"
        )
