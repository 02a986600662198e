"""Assets that link the DAGs: what one of them produces starts the next."""

from airflow.sdk import Asset

CONTENT = Asset("learn_features_content")
"""Content vectors of the catalogue, brought up to date by `embed_catalog`."""

BUNDLE = Asset("learn_features_bundle")
"""A new bundle, published by `train_towers`; the event's extra carries its URI as `bundle_uri`."""

SPACE = Asset("learn_features_space")
"""A space that became ready through `roll_out_space`; the event's extra carries its `space_id`."""
