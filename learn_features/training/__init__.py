"""From histories and content vectors to trained towers.

train             the one entry for command line and DAG
fit               the same in memory: phases, from a split to towers and residuals
recipe            what a preset trains with; no torch
objectives        a batch source and its loss, as the loop sees them
next_item         softmax over the next item
dense_all_action  the paper's
new_items         how far new items move among known ones
audience          how much new items borrow from similar ones
demand            how far items that are in demand at the end of the log are lifted
placing           all three: found on held-out items and validation, and made so
item_to_item      which of item-CF and EASE teaches, tuned on validation
teacher           its cross-fitted votes, as a part of the target
windows           batches for next-item softmax
cuts              batches of history and target for the dense all action loss
sampling          recency weights and the draws of two-stage sampling
candidates        the items that a step's softmax is over: all, or a sample
losses            softmax over these, dense all action
fused_softmax     softmax over a catalogue, a few rows at a time
length_groups     rows of like length together, so that little is padding
starting          the model before its first step
seen              what a phase sees of the log, and what it leaves untaken
trained           what is trained: towers and the table of item residuals
content_table     content vectors in one place, on the GPU where they fit
content_file      the same on disk
phase             which phases there are, and where one stands
loop              one phase: epochs, best state, early stopping
ahead             the next batch is drawn meanwhile
step              gradients of a batch: passes, processes, precision
compiled          transformer layers of few kernels, on a GPU
optimiser         AdamW, schedule, moving average
seeds             random numbers by place
ranks             processes of torchrun
memory            what to make smaller where there is too little
validation        how good a model is on validation cases, and whether its vectors are numbers
checkpoint        what a killed run goes on from
identity          what a checkpoint must agree in
warm_start        weights of a parent
curves            epochs and losses, and their plot
tracking          MLflow
run               what a run's folder holds
snapshot          the data of a run, copied
"""
