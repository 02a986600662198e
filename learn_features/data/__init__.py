"""Read and validate interactions and items; histories, one implementation for batch and stream; splits.

table_files   finding, reading and writing a table's file
lossy_text    tables with bytes that are not UTF-8
checked       typed columns out of a table, with errors that name the rows
items         the items table
interactions  the interactions table
tables        a data set: both together
catalogue     the same in blocks, for what does not fit the memory
item_index    item ids ↔ positions in the items table
histories     newest N distinct entries, for a table and for a stream's batch
sequences     all users' interactions as arrays, in time order
time_gaps     the time between a history's entries; padding, histories as one array
cases         what an evaluation asks: a history, targets and a request time per user
splits        global time, or leave-one-out where there is only an order
digest        to tell data sets apart
"""
