"""A closed-loop marketplace for the demo, tests and benchmarks; deterministic by seed.

subcategories  what the catalogue consists of: 72 sub-categories in 12 categories, 18 tastes across them
styles         six styles that run through all categories: brands, words, materials
texts          an item's title, keywords, attributes and description
catalogue      items with texts and true latent factors
people         users with drifting mixtures of tastes
market         day by day: sessions, what is shown, what is clicked
world          World, simulate() and Simulation
"""
