"""Read and validate interactions and items; histories, one implementation for batch and stream; splits.

table_files   finding, reading and writing a table's file
checked       typed columns out of a table, with errors that name the rows
items         the items table
interactions  the interactions table
tables        a data set: both together
item_index    item ids ↔ positions in the items table
histories     newest N distinct entries, for a table and for a stream's batch
sequences     all users' interactions as arrays, in time order
cases         what an evaluation asks: a history, targets and a request time per user
splits        global time, or leave-one-out where there is only an order
"""
