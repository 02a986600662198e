"""Step 5: a second space is filled, promoted and rolled back while a reader reads the slot."""

import time

import numpy as np

from learn_features.contracts import columns as c
from learn_features.contracts import names
from learn_features.demo import model_step
from learn_features.demo.context import Context
from learn_features.demo.hammer import Hammer, Request, mixed_reads

READERS_USERS = 16
CANDIDATES = 20


def roll_out_and_back(context: Context) -> None:
    """Train warm for an epoch, roll out, promote, roll back; sets the roll-out figures."""
    from learn_features.features import roll_out
    from learn_features.features.rows import open_row_store

    config, options = context.config, context.options
    with context.step(5, "Roll out and back (a second space)", "rollout") as step:
        model_step.run_training(context, step, "second", parent=context.bundles[0], epochs=1)
        requests = _requests(context)
        hammer = Hammer(context.config_file, context.workspace.folder / "logs", config.slot, requests)
        begin = time.monotonic()
        moves: list[tuple[float, str]] = []

        def note(what: str) -> None:
            moves.append((round(time.monotonic() - begin, 2), what))

        try:
            note("fill")
            space_id = model_step.roll_out(context, step, context.bundles[1], None)
            ranker = names.ranker_version("dot-product", space_id)
            step.progress("promote and roll back", 0, 0)
            time.sleep(options.hammer_seconds)
            roll_out.promote(config, ranker, config.slot)
            note("promote")
            time.sleep(options.hammer_seconds)
            roll_out.roll_back(config, config.slot)
            note("roll back")
            time.sleep(options.hammer_seconds)
        finally:
            result = hammer.stop()
        rows = open_row_store(config)
        try:
            mixed = mixed_reads(result, requests, rows, context.spaces)
        finally:
            rows.close()
        spaces_read = sorted({space for _, space, _ in result.timeline})
        context.summary.rollout = {
            "reads": result.reads,
            "errors": result.errors,
            "mixed": mixed,
            "first_error": result.first_error,
            "read_p50_ms": round(result.p50_ms, 2),
            "read_p99_ms": round(result.p99_ms, 2),
            "spaces_read": spaces_read,
        }
        context.summary.spaces = {"first": context.spaces[0], "second": space_id}
        context.story.timeline = [(at - int(10 * begin), space, n) for at, space, n in result.timeline]
        context.story.moves = moves
        step.note(
            f"space {space_id} filled, promoted, rolled back under reads from {len(spaces_read)} spaces: "
            f"reads {result.reads:,}, errors {result.errors}, mixed reads: {mixed}"
        )


def _requests(context: Context) -> list[Request]:
    """Users whose vectors do not change meanwhile, each with candidates."""
    random = np.random.default_rng([context.options.seed, 5])
    users = context.dataset.interactions[c.USER_ID].unique().sort().to_numpy()
    items = context.dataset.items[c.ITEM_ID].to_numpy()
    chosen = random.choice(users, min(READERS_USERS, len(users)), replace=False)
    return [(str(u), [str(i) for i in random.choice(items, CANDIDATES, replace=False)]) for u in chosen]
