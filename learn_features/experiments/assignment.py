"""Which arm a user is in: a salted hash of the user against the arms' shares. Nothing is stored."""

import hashlib
import math

from learn_features.contracts.deployment import Experiment

_SEPARATOR = b"\x1f"
_BITS = 53


def bucket(salt: str, name: str, user_id: str) -> float:
    """A number in [0, 1), uniform over users and independent between experiments of other salt or name.

    The first 53 bits of BLAKE2b over salt, experiment name and user id: exact in a float64.
    """
    text = _SEPARATOR.join(part.encode() for part in (salt, name, user_id))
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _BITS)) / (1 << _BITS)


def assign(experiment: Experiment, name: str, user_id: str) -> str | None:
    """The arm of `user_id`, or None: not in the experiment, or the experiment was stopped.

    Arms take [0, 1) in the order of their names, each its share; shares that sum to 1 leave nobody out.
    """
    if not experiment.running:
        return None
    arms = sorted(experiment.arms)
    position = bucket(experiment.salt, name, user_id)
    for count, arm in enumerate(arms, start=1):
        if position < math.fsum(experiment.shares[a] for a in arms[:count]):
            return arm
    everybody = math.fsum(experiment.shares.values()) > 1 - 1e-9
    return arms[-1] if everybody else None
