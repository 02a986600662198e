"""What `test_step.py` runs under torchrun: short trainings on tiny data, rank 0 keeps the outcome."""

import os
import signal
import sys
import time
from pathlib import Path

import torch

from learn_features.errors import ConfigError, LearnFeaturesError
from learn_features.training.fit import fit
from learn_features.training.ranks import Ranks, joined, restarted
from learn_features.training.recipe import Recipe
from tests.training.world import RECIPE, TOWERS, content_of, make_split

CONFIG = TOWERS.model_copy(
    update={"dropout": 0.0, "content_dropout": 0.0, "residuals": True, "similar_items": 50}
)
_CALM = RECIPE.model_copy(update={"residual_dropout": 0.0, "learning_rate": 1e-3, "patience": 9})
RECIPES = {
    "softmax": _CALM,
    "as small has it": _CALM.model_copy(
        update={"final": "refit", "accumulate": 2, "new_item_share": 0.2, "validation_cases": 60}
    ),
    "sampled": _CALM.model_copy(update={"loss": "softmax", "max_candidates": 40}),
    "dense": _CALM.model_copy(
        update={"loss": "dense_all_action", "users_per_step": 31, "accumulate": 2, "logq": True}
    ),
}


def trained(recipe: Recipe, ranks: Ranks) -> tuple[list[float], list[float], dict[str, torch.Tensor]]:
    """Losses and validation Recall@10 by epoch, weights."""
    towers = CONFIG.model_copy(update={"example_age": recipe.loss == "softmax"})
    fitted = fit(make_split(True), content_of(), towers, recipe, seed=0, ranks=ranks)
    weights = {name: p.detach() for name, p in fitted.towers.named_parameters()}
    weights["residuals"] = torch.from_numpy(fitted.residuals.lookup([str(i) for i in range(120)]))
    scores = [epoch.validation.get("recall_at_10", 0.0) for epoch in fitted.epochs]
    return [epoch.loss for epoch in fitted.epochs], scores, weights


def refused(folder: Path) -> None:
    """The first process stops with a message while the other waits for it; what each says is kept."""
    rank = os.environ["RANK"]
    try:
        with joined() as ranks:
            if ranks.leads:
                raise ConfigError("refused by the first")
            ranks.wait()
    except LearnFeaturesError as error:
        (folder / rank).write_text(str(error))
    deadline = time.monotonic() + 30  # torchrun ends the others with the first that ends
    while not (folder / "1").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def killed(folder: Path) -> None:
    """The second process is killed. Started again, it joins some time before the first."""
    leads, again = os.environ["RANK"] == "0", restarted()
    if leads and again:
        time.sleep(3)
    with joined() as ranks:
        total = ranks.sum(torch.ones(1))
        if not leads and not again:
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.wait()
        if leads:
            (folder / "sum").write_text(f"{float(total):g}")


def main(folder: Path) -> None:
    with joined() as ranks:
        assert ranks.count == 2
        for name, recipe in RECIPES.items():
            losses, validation, weights = trained(recipe, ranks)
            if ranks.leads:
                outcome = {"losses": losses, "validation": validation, "weights": weights}
                torch.save(outcome, folder / f"{name}.pt")


if __name__ == "__main__":
    {"main": main, "refused": refused, "killed": killed}[sys.argv[1]](Path(sys.argv[2]))
