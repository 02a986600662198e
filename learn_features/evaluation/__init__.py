"""How well a method says what comes next: metrics, one harness, baselines worth beating.

metrics      recall, NDCG, hit rate and MRR at k, from strict ranks; which items are shown
evaluated    one method's ranks, and whatever follows from them
harness      any scorers over the same cases
slices       cold and rare items, quiet and busy users
bootstrap    intervals, paired differences and ratios
baselines/   popularity, item-CF, EASE, ridge, content, transformers: tuned on validation
timed_prior  what was popular just before the request, added to any scorer
cold         items held out of all that is fitted
run          a training run against the baselines: evaluation.json
written      evaluation.json, read back
gate         whether a run may be released
report       the sentence that says which method wins
"""
