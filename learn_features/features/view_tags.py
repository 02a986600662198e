"""What a feature view's tags say, so that an online store knows what it holds without a config."""

from typing import Protocol

from learn_features.contracts import names
from learn_features.contracts.deployment import DeploymentDocument
from learn_features.contracts.history import HistoryRule
from learn_features.errors import ConfigError

RULE_TAG = "history_rule"
DEPLOYMENT_TAG = "deployment"


class Tagged(Protocol):
    name: str
    tags: dict[str, str]


def history_rule(view: Tagged) -> HistoryRule:
    """The rule of a history view. Raises `ConfigError` if the view was declared by somebody else."""
    text = view.tags.get(RULE_TAG)
    if text is None:
        raise ConfigError(f"{view.name}: no tag {RULE_TAG}; declare it with `learn-features spaces declare`")
    return HistoryRule.model_validate_json(text)


def deployment(view: Tagged) -> str | None:
    """Folder of the deployment document that decides about the view; None: nobody does."""
    return view.tags.get(DEPLOYMENT_TAG)


def views_in_use(document: DeploymentDocument) -> set[str]:
    """Feature views of the spaces that are filling or ready."""
    used = set()
    for space_id, space in document.embedded_spaces.items():
        used |= {
            names.user_embedding_view(space_id),
            names.item_embedding_view(space_id),
            names.user_history_view(space.history.id),
            names.item_content_view(space.encoder.id),
        }
    return used
