"""PAL: user tower and item tower from content vectors (PAPER: Model).

config       TowerConfig and its presets; no torch
blocks       content input, causal transformer, PAL
item_tower   one content vector to one item vector, four variants
user_tower   a history of content vectors to a user vector
model        both as one module
weights      towers to and from a run's folder or a bundle
scoring      scores of every item for evaluation cases
"""
