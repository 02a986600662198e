"""Rankers over features that a slot's FeatureService returns, and exact retrieval over item vectors.

ranked       the result of a ranking: positions and scores of the best candidates
dot_product  user vector · item vector
popularity   interactions of the item so far
rankers      the ranker of a version, by its kind
top_k        exact top-k over a whole catalogue of item vectors
"""
