"""What crosses a boundary, each thing written once.

attributes  what further fields of an item say, as text
columns     names of columns in tables
times       UTC microseconds, the base date, the future tolerance
identity    hashes, `event_id`, space, encoder and rule ids
events      records on the topics, and their field mapping
history     HistoryRule and HistoryEntry
online      the online row: keys, fields, cells, checkpoint
offline     schemas of the offline log
names       topics, views, features and services
manifest    what a bundle says about itself
run_files   names of the files in a training run's folder
deployment  which spaces, rankers, slots and experiments are in force
"""
