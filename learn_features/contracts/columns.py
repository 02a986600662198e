"""Column names of the tables that come in and of the offline log."""

USER_ID = "user_id"
ITEM_ID = "item_id"

EVENT_TIMESTAMP = "event_timestamp"
POSITION = "position"
EVENT_ID = "event_id"
EVENT_TYPE = "event_type"
VALUE = "value"

TITLE = "title"
CATEGORY = "category"
BRAND = "brand"
PRICE = "price"
KEYWORDS = "keywords"
ATTRIBUTES = "attributes"
DESCRIPTION = "description"
UPDATED_AT = "updated_at"

ITEM_TEXT_COLUMNS = (TITLE, CATEGORY, BRAND, PRICE, KEYWORDS, ATTRIBUTES, DESCRIPTION)
"""Fields that a text template may use, in the order of the offline schema."""

DESCRIPTIVE_COLUMNS = (
    *("year", "release_year", "genre", "genres", "tags", "author", "artist", "director", "actors"),
    *("publisher", "manufacturer", "language", "country", "platform"),
    *("color", "colour", "material", "size", "style"),
)
"""Further columns that describe an item in most tables that have them, and seldom change."""

NO_VALUE = ("none", "nan", "null", "n/a")
"""Texts that stand for a missing field, in lower case."""

AS_OF = "as_of"
"""When the system could first have known the row; Feast's `timestamp_field` (see contracts.times)."""

DELETED = "deleted"

DEFAULT_EVENT_TYPE = "interaction"
"""Event type of interactions that carry none."""
