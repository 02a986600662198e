"""PAL: user tower and item tower from content vectors (PAPER: Model).

config         TowerConfig and its presets; no torch
blocks         content input, causal transformer, PAL
dropout        masks that cost little on a CPU
time_gaps      the time between history entries as an input
example_age    how long before the end of the log a user is asked for
item_tower     one content vector, and a residual if there is one, to one item vector, four variants
similar_items  what a new item borrows from known ones of similar content
user_tower     a history of content vectors to a user vector
model          both as one module
together       both over groups of sequences, in one pass through the transformer
identity       digest of the weights, id of the space
weights        towers to and from a run's folder or a bundle
residuals      what training learned of single items: table, file, look-up; no torch
tensor_file    the safetensors format, read through memory maps; no torch
scoring        scores of every item for evaluation cases
"""
