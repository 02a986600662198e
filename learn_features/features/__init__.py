"""The Feast side: rows, stores, declarations, offline log, backfill, roll-out and reading.

row_store, rows          what is needed of an online store; opens the one that feature_store.yaml names
sqlite_rows, redis_rows  the two implementations
store_file               feature_store.yaml, read without Feast
"""
