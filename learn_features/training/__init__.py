"""From histories and content vectors to trained towers.

recipe            what a preset trains with; no torch
sampling          recency weights and the draws of two-stage sampling
windows           batches for next-item softmax
cuts              batches of history and target for the dense all action loss
losses            softmax over the catalogue or a sample of it, dense all action
objectives        a batch source and its loss, as the loop sees them
next_item         softmax over the next item
dense_all_action  the paper's
validation        how good the towers are on validation cases
loop              optimiser, schedule, epochs, best state
run               what a run's folder holds
train             the one entry for command line and DAG
"""
