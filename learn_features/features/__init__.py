"""The Feast side: rows, stores, declarations, offline log, backfill, roll-out and reading.

row_store, rows            what is needed of an online store; opens the one that feature_store.yaml names
sqlite_rows, redis_rows    the two implementations
history_merge              histories into rows: set union, newest N, compare-and-set
store_file, feast_store    feature_store.yaml without Feast; the one place that opens a FeatureStore
row_online_store           Feast's online store over rows, and sqlite_online_store, redis_online_store
feast_cells, view_tags     rows' cells as Feast values; what a view's tags say
declarations               Feast objects from the contracts and the deployment document
offline_log                append-only Parquet data sets; dataset_import takes a data set in
online_histories           histories that the online store knows and the log does not yet
history_states             histories as they stood at given times
space_embedding            a space's towers over catalogue and histories
backfill, materialise      the offline log into a space, offline and online
staleness, consistency     whose vectors are out of date; the gates of a roll-out
roll_out                   begin → fill → check → ready → promote, and back
reader                     features of one user and their candidates, of one space, through Feast
"""
