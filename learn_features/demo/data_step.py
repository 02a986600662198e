"""Step 1: a simulated marketplace, or a folder of one's own."""

import polars as pl

from learn_features.contracts import columns as c
from learn_features.demo.context import Context
from learn_features.demo.expectations import Size
from learn_features.demo.groups import broad_groups


def prepare(context: Context) -> None:
    """Write or validate the data; sets `dataset`, `data_folder`, `world` and the sizes."""
    from learn_features.data.tables import read_dataset
    from learn_features.simulation.world import World

    options = context.options
    with context.step(1, "Data", "data") as step:
        if options.data is None:
            step.progress("a marketplace opens", 0, 0)
            context.world = World.draw(options.seed, options.items, options.users)
            context.world.run().write(context.workspace.data)
            context.data_folder = str(context.workspace.data)
        else:
            context.data_folder = str(options.data.resolve())
        step.progress("validate", 0, 0)
        dataset = read_dataset(context.data_folder, context.config.data)
        context.dataset = dataset
        context.groups = broad_groups(dataset.items[c.CATEGORY].to_list())
        items, log = dataset.items, dataset.interactions
        users = log[c.USER_ID].n_unique()
        context.size = Size(items.height, users, log.height, _characters(items), options.quick)
        context.summary.data = {
            "name": "simulated world" if options.data is None else options.data.name,
            "items": items.height,
            "users": users,
            "interactions": log.height,
            "categories": items[c.CATEGORY].drop_nulls().n_unique(),
            "has_times": dataset.has_times,
            "warnings": dataset.warnings,
        }
        for warning in dataset.warnings:
            step.note(f"warning: {warning}")
        step.note(
            f"{items.height:,} items, {users:,} users, {log.height:,} interactions in {context.data_folder}"
        )


def _characters(items: pl.DataFrame) -> int:
    """Characters of all item texts; of each field so many as a description is cut to, roughly."""
    lengths = [
        pl.col(name).cast(pl.String).str.len_chars().clip(upper_bound=300) for name in c.ITEM_TEXT_COLUMNS
    ]
    return int(items.select(pl.sum_horizontal(lengths).sum()).item() or 0)
