"""A/B tests of ranker versions.

assignment  user → arm, by a salted hash: no state, the same on every machine
running     create, stop and list experiments in the deployment document
"""
