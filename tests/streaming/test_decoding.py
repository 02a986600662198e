"""Bytes → events: what is taken, what is refused and why."""

import json
from datetime import date

import polars as pl
import pytest

from learn_features.config import Config, DataConfig, KafkaConfig
from learn_features.data.catalogue import Catalogue
from learn_features.errors import BadRecord
from learn_features.streaming.decoding import decode, decoder
from learn_features.streaming.records import Partition, Record

APPEND_US = 1_700_000_000_000_000
CLICK = {"user_id": "u", "item_id": "i", "event_timestamp": APPEND_US}


def record(topic, value, key=b"k"):
    raw = value if isinstance(value, bytes | None) else json.dumps(value, default=str).encode()
    return Record(Partition(topic, "id", 0), 7, APPEND_US, key, raw)


def test_interaction_with_unknown_fields_and_iso_time():
    body = {**CLICK, "event_timestamp": "2023-11-14T22:13:20+00:00", "page": 3, "value": 2}
    event = decode(record("interactions", body), {})
    assert (event.record.event_timestamp, event.record.value, event.append_us) == (APPEND_US, 2.0, APPEND_US)


def test_field_mapping_reads_their_names_and_not_ours():
    fields = {"interactions": {"item_id": "sku", "user_id": "customer"}}
    body = {"customer": "c", "sku": "s", "item_id": "something else", "event_timestamp": APPEND_US}
    taken = decode(record("interactions", body), fields).record
    assert (taken.user_id, taken.item_id) == ("c", "s")
    with pytest.raises(BadRecord, match="sku: Field required"):
        decode(record("interactions", {"customer": "c", "item_id": "i", "event_timestamp": 1}), fields)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "no value"),
        (b"", "no value"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([1], "not a JSON object, but list"),
        ({**CLICK, "user_id": ""}, "user_id"),
        ({**CLICK, "user_id": None}, "user_id"),
        ({**CLICK, "item_id": "\ud800"}, "item_id"),
        ({**CLICK, "event_timestamp": "2023-11-14T22:13:20"}, "event_timestamp.*zone"),
        ({**CLICK, "event_timestamp": 1.5}, "event_timestamp"),
        ({**CLICK, "event_timestamp": -(10**30)}, "before the year 1"),
        ({**CLICK, "event_timestamp": 10**310}, "after the year 9999"),
        ({**CLICK, "event_timestamp": 10**4299}, "after the year 9999"),
        (b'{"user_id": "u", "item_id": "i", "event_timestamp": 1' + b"0" * 4300 + b"}", "not JSON"),
        ({**CLICK, "event_timestamp": 1_700_000_000}, "seconds"),
        ({**CLICK, "event_timestamp": 1_700_000_000_000}, "seconds"),
        ({**CLICK, "event_id": "\ud800"}, "event_id.*surrogates"),
        ({**CLICK, "event_id": "e" * 513}, "event_id.*512"),
        ({**CLICK, "event_type": "\ud800"}, "event_type.*surrogates"),
        ({**CLICK, "schema_version": "\ud800"}, "schema_version.*surrogates"),
        ({**CLICK, "user_id": True}, "user_id"),
        ({**CLICK, "event_timestamp": APPEND_US + 300_000_001}, "300 s ahead.*300 s are allowed"),
        ({**CLICK, "schema_version": "2.0"}, "schema version 2.0 is not known"),
        ({**CLICK, "value": "much"}, "value"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(body, reason):
    with pytest.raises(BadRecord, match=reason):
        decode(record("interactions", body), {})


def test_five_minutes_ahead_is_taken():
    assert decode(record("interactions", {**CLICK, "event_timestamp": APPEND_US + 300_000_000}), {})


def test_what_tables_take_is_taken():
    body = {"user_id": 7, "item_id": 8, "event_timestamp": APPEND_US, "event_id": " ", "event_type": None}
    event = decode(record("interactions", {**body, "schema_version": 1}), {}).record
    assert (event.user_id, event.item_id, event.event_id, event.event_type) == ("7", "8", None, "interaction")
    item = decode(record("items", {"item_id": 8, "title": 1984, "keywords": ["a", None]}, b"8"), {}).record
    assert (item.item_id, item.title, item.keywords) == ("8", "1984", "a")


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'"nan"'])
def test_numbers_that_are_not_finite_are_none(value):
    raw = json.dumps(CLICK).encode()[:-1] + b', "value": ' + value + b"}"
    assert decode(record("interactions", raw), {}).record.value is None


@pytest.mark.parametrize("field", ["title", "category", "brand", "keywords", "attributes", "description"])
def test_half_a_character_in_an_item_is_refused(field):
    with pytest.raises(BadRecord, match=f"{field}.*surrogates"):
        decode(record("items", {"item_id": "k", "title": "x", field: "\ud800"}), {})


def test_a_price_out_of_range_is_refused():
    with pytest.raises(BadRecord, match="price"):
        decode(record("items", {"item_id": "k", "title": "x", "price": 10**4000}), {})


def test_item_and_its_deletion():
    body = {"item_id": "k", "title": "Shoe", "keywords": ["red", "fast"], "price": 3}
    event = decode(record("items", body), {})
    assert (event.item_id, event.record.keywords, event.revision) == ("k", "red, fast", (APPEND_US, 7))
    deletion = decode(record("items", None), {})
    assert (deletion.item_id, deletion.record) == ("k", None)


@pytest.mark.parametrize(
    ("body", "key", "reason"),
    [
        (None, None, "deletion needs the item_id as key"),
        (None, b"\xff", "not UTF-8"),
        ({"item_id": "other", "title": "x"}, b"k", "key is 'k', but item_id is 'other'"),
        ({"item_id": "k"}, b"k", "title: Field required"),
    ],
)
def test_bad_items(body, key, reason):
    with pytest.raises(BadRecord, match=reason):
        decode(record("items", body, key), {})


def test_refresh_and_forget():
    assert decode(record("user_refresh", {"user_id": "u"}), {}).record.kind == "refresh"
    assert decode(record("user_refresh", {"user_id": "u", "kind": "forget"}), {}).record.kind == "forget"
    with pytest.raises(BadRecord, match="kind"):
        decode(record("user_refresh", {"user_id": "u", "kind": "explode"}), {})


DESCRIBED = {
    "attributes": ["waterproof", None, "", "n/a", "plain", None],
    "release_year": [2013.0, None, 1999.5, 7.0, -0.0, 1e15],
    "pages": [200, None, 0, -3, 10**12, 1],
    "tags": [["a", "b"], ["c"], [], None, ["null"], [" d ", "e"]],
    "color": ["red", "N/A", " ", " dark  blue ", None, "ünï"],
    "released": [date(2013, 5, 1), None, None, date(1890, 1, 2), None, date(9999, 12, 31)],
}


def test_further_fields_join_attributes_as_columns_of_a_table_do(tmp_path):
    rows = pl.DataFrame({"item_id": [f"i{row}" for row in range(6)], "title": "t", **DESCRIBED})
    rows.write_parquet(tmp_path / "items.parquet")
    names = ("release_year", "tags", "color", "pages", "missing", "released")
    table = pl.concat(Catalogue(tmp_path, DataConfig(item_attributes=names)).blocks())
    streamed = [
        decode(record("items", row, row["item_id"].encode()), {}, names).record.attributes
        for row in rows.to_dicts()
    ]
    assert streamed == table["attributes"].to_list()
    assert (
        streamed[0] == "waterproof; release year 2013; tags a, b; color red; pages 200; released 2013-05-01"
    )


def test_numbers_in_text_fields_are_written_as_in_tables(tmp_path):
    row = {"item_id": "i", "title": "t", "category": 2001.0, "keywords": 7}
    pl.DataFrame([row]).write_parquet(tmp_path / "items.parquet")
    (table,) = pl.concat(Catalogue(tmp_path).blocks()).to_dicts()
    item = decode(record("items", row, b"i"), {}).record
    assert (item.category, item.keywords) == (table["category"], table["keywords"]) == ("2001", "7")


def test_further_fields_that_are_no_text_say_nothing_and_broken_text_is_refused():
    body = {"item_id": "k", "title": "x", "year": True, "genre": {"a": 1}, "tags": [["a"]], "size": "\ud800"}
    assert decode(record("items", body), {}, ("year", "genre", "tags")).record.attributes is None
    assert decode(record("items", body), {}).record.attributes is None
    with pytest.raises(BadRecord, match="size"):
        decode(record("items", body), {}, ("size",))
    mapped = {"items": {"category": "genre"}}
    body = {"item_id": "k", "title": "x", "genre": "drama"}
    item = decode(record("items", body), mapped, ("genre",)).record
    assert (item.category, item.attributes) == ("drama", None)


def test_what_consumers_read_goes_by_the_settings():
    body = {"item_id": "k", "name": "x", "year": 2013, "fabric": "wool"}
    renamed = KafkaConfig(fields={"items": {"title": "name"}})
    item = decoder(Config(kafka=renamed))(record("items", body)).record
    assert (item.title, item.attributes) == ("x", "year 2013")
    chosen = Config(kafka=renamed, data=DataConfig(item_attributes=("fabric",)))
    assert decoder(chosen)(record("items", body)).record.attributes == "fabric wool"
