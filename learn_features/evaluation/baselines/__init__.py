"""Baselines worth beating, all tuned on validation within a stated budget of seconds.

baseline              what a baseline is; the data and terms of a comparison
search                coordinate search over knobs whose ranges grow
history_weights       histories as sparse rows, newer entries weighing more
popularity            most popular, ever
recent_popularity     most popular just before the request (sees the clock)
item_cf               item-to-item votes with order, distance, age and popularity
mean_content          nearest to the mean of the newest items' content vectors
ease                  EASE in closed form
ridge                 from the weighted past to the next item, in closed form
transformer           causal transformer over item vectors
transformer_training  its full softmax over trained items
transformer_baseline  its tuning and fitting
sasrec                transformer over item ids (SASRec)
text_model            transformer over frozen text vectors (UniSRec)
registry              all of them by name; `tuned` tunes and fits

They are written here since no library fits the one environment and covers them: implicit's item models know
no order, RecTools builds on them, RecBole fails with NumPy 2 and current PyTorch, and none of them ranks in
our harness on our splits.
"""

from learn_features.evaluation.baselines.registry import BASELINES, QUICK, TunedBaseline, tuned

__all__ = ["BASELINES", "QUICK", "TunedBaseline", "tuned"]
