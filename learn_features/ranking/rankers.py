"""The ranker of a version, by the kind that the deployment document records."""

from collections.abc import Callable

from learn_features.errors import ConfigError
from learn_features.features.reader import RankingFeatures
from learn_features.ranking import dot_product, popularity
from learn_features.ranking.ranked import Ranked

RANKERS: dict[str, Callable[[RankingFeatures, int], Ranked]] = {
    "dot-product": dot_product.rank,
    "popularity": popularity.rank,
}


def rank(features: RankingFeatures, k: int) -> Ranked:
    """Rank with the version that `features` were read for (`dot-product__s0123…` is a dot product)."""
    kind = features.ranker.partition("__")[0]
    if kind not in RANKERS:
        raise ConfigError(f"ranker {features.ranker}: kind {kind} is not one of {sorted(RANKERS)}")
    return RANKERS[kind](features, k)
