"""Step 6: a ranking call through the slot's FeatureService, and an experiment of two arms."""

import time
from collections import Counter

import numpy as np

from learn_features.contracts import columns as c
from learn_features.contracts import names
from learn_features.demo.console import text_table
from learn_features.demo.context import Context

CANDIDATES = 200
CALLS = 30
_TITLE_WIDTH = 24
EXPERIMENT = "embeddings-against-popularity"


def rank_and_experiment(context: Context) -> None:
    """Sets the ranking and experiment figures."""
    from learn_features.experiments.running import create, look_up
    from learn_features.features.reader import FeatureReader
    from learn_features.ranking.rankers import rank
    from learn_features.release.deployment import DeploymentStore

    config = context.config
    with context.step(6, "Rank and experiment", "rank") as step:
        users = context.dataset.interactions[c.USER_ID].unique().sort().to_list()
        items = context.dataset.items
        random = np.random.default_rng([context.options.seed, 6])
        candidates = items[c.ITEM_ID].sample(min(CANDIDATES, items.height), seed=6).to_list()
        title_of = dict(zip(items[c.ITEM_ID], items[c.TITLE], strict=True))
        reader = FeatureReader(config)
        milliseconds = []
        for user_id in random.choice(users, CALLS).tolist():
            begin = time.monotonic()
            features = reader.ranking(config.slot, user_id, candidates)
            ranked = rank(features, 10)
            milliseconds.append(1_000 * (time.monotonic() - begin))
        p50 = float(np.median(milliseconds[1:]))
        context.summary.ranking = {
            "candidates": len(candidates),
            "p50_ms": round(p50, 2),
            "ranker": features.ranker,
        }
        step.note(
            f"{features.ranker}: one user and {len(candidates)} candidates read and ranked in "
            f"{p50:.1f} ms (p50); first “{title_of[candidates[ranked.positions[0]]]}”"
        )

        arms = {
            "embeddings": names.ranker_version("dot-product", context.spaces[0]),
            "popularity": names.ranker_version("popularity", None),
        }
        document = create(config, EXPERIMENT, arms)
        assigned = {user_id: look_up(document, EXPERIMENT, user_id) for user_id in users}
        fresh = DeploymentStore(config.deployment).read()
        stable = all(look_up(fresh, EXPERIMENT, user_id) == arm for user_id, arm in assigned.items())
        counts = Counter(arm.arm for arm in assigned.values() if arm is not None)
        rows = []
        for arm, ranker in sorted(arms.items()):
            user_id = next(u for u, a in assigned.items() if a is not None and a.arm == arm)
            best = rank(reader.ranking(ranker, user_id, candidates), 3)
            titles = "; ".join(title_of[candidates[p]][:_TITLE_WIDTH] for p in best.positions)
            rows.append((f"    {arm}", str(counts[arm]), titles))
        step.table(text_table("", ("    arm", "users", "top 3 of one of them"), rows))
        context.summary.experiment = {
            "name": EXPERIMENT,
            "users": len(users),
            "stable": stable,
            "arms": [
                {"arm": arm, "ranker": ranker, "users": counts[arm]} for arm, ranker in sorted(arms.items())
            ],
        }
