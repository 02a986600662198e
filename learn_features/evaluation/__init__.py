"""How well a method says what comes next: metrics, one harness, baselines worth beating.

metrics       recall, NDCG, hit rate and MRR at k, from strict ranks
harness       any scorers over the same cases
popularity    most popular, and most popular of late
item_cf       tuned item-to-item collaborative filtering
content       nearest to the mean of the history's raw content vectors
run           a training run against the baselines: evaluation.json
report        the sentence that says which method wins
"""
