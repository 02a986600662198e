"""A summary and a story as a run leaves them."""

import numpy as np
import pytest

from learn_features.demo import plots
from learn_features.demo.story import Recommendation, Story
from learn_features.demo.summary import Summary


def quality(recall: float, ndcg: float) -> dict[str, float]:
    return {"recall_at_10": recall, "ndcg_at_10": ndcg, "recall_at_50": 2 * recall}


@pytest.fixture
def summary() -> Summary:
    arms = [
        {"arm": "embeddings", "ranker": "dot-product__s0123456789ab", "users": 1_502},
        {"arm": "popularity", "ranker": "popularity", "users": 1_498},
    ]
    return Summary(
        data={
            "name": "simulated world",
            "items": 2_000,
            "users": 3_000,
            "interactions": 60_000,
            "split": "global time",
            "test_cases": 1_500,
            "train_seconds": 80.0,
        },
        quality={
            "towers": quality(0.15, 0.08),
            "popularity": quality(0.06, 0.03),
            "recent_popularity": quality(0.07, 0.04),
            "item_cf": quality(0.14, 0.085),
            "content": quality(0.1, 0.05),
        },
        sentence="The towers win on Recall@10 <with 0.15>.",
        parity={"max_abs_diff": 3e-7, "tolerance": 1e-4},
        freshness={"item_seconds": 0.42, "user_seconds": 0.3},
        stream={"events": 3_000, "lost": 0, "dead_letters": 0},
        rollout={"reads": 5_000, "errors": 0, "mixed": 0},
        ranking={"candidates": 200, "p50_ms": 8.1},
        experiment={"name": "embeddings-against-popularity", "users": 3_000, "stable": True, "arms": arms},
        steps=[{"title": "1 Data", "expected_seconds": 5.0, "seconds": 4.2}],
        wall_seconds=300.0,
    )


@pytest.fixture
def story() -> Story:
    random = np.random.default_rng(0)
    groups = random.integers(0, 12, 300)
    vectors = random.normal(size=(12, 16))[groups] + 0.5 * random.normal(size=(300, 16))
    points = plots.plane(vectors.astype(np.float32))
    pans = [Recommendation(f"p{n}", f"Cast iron pan {n}", "Kitchen", 0.9 - n / 20) for n in range(10)]
    shoes = [Recommendation(f"t{n}", f"Trail shoe & gaiter {n}", "Sport", 0.9 - n / 20) for n in range(10)]
    return Story(
        losses=[5.0, 4.0, 3.5],
        phases=["tune", "tune", "final"],
        validation=[0.05, 0.1, 0.12],
        map_points=[(float(x), float(y)) for x, y in points],
        map_groups=[f"Category {group}" for group in groups],
        item_seconds=[0.2, 0.3, 0.42],
        user_seconds=[0.1, 0.3, 0.2],
        user_id="user-17",
        clicked=shoes[:3],
        before=pans,
        after=[*shoes[3:10], *pans[:3]],
        timeline=[(n, "saaaaaaaaaaaa" if not 40 < n < 80 else "sbbbbbbbbbbbb", 12) for n in range(120)],
        moves=[(4.0, "promote"), (8.0, "roll back")],
    )
