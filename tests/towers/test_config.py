import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from learn_features.errors import ConfigError
from learn_features.towers.config import PRESETS, TowerConfig, tower_preset
from learn_features.training.recipe import recipe_preset, warn_of_unused


def test_paper_preset_is_the_papers():
    paper = tower_preset("paper", content_dimension=4096)
    assert (paper.layers, paper.width, paper.heads, paper.dimension) == (12, 768, 12, 64)
    assert (paper.item_variant, paper.shared_weights, paper.positions) == ("sequence", True, "none")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_scalars_and_survive_json(name):
    config = tower_preset(name, content_dimension=384)
    values = config.model_dump(mode="json")
    assert all(value is None or isinstance(value, int | float | str | bool) for value in values.values())
    assert TowerConfig.model_validate(json.loads(json.dumps(values))) == config


def test_unknown_preset_names_those_there_are():
    with pytest.raises(ConfigError, match=r"huge is unknown; there are small, paper"):
        tower_preset("huge", content_dimension=384)


def test_content_variant_needs_the_contents_dimension():
    with pytest.raises(ConfigError, match=r"dimension 64 to be the content's 384"):
        tower_preset("small", content_dimension=384, item_variant="content")


def test_an_order_has_no_gaps_of_time():
    with pytest.raises(ConfigError, match=r"time_gaps: the data have an order \(position\) and no times"):
        tower_preset("small", content_dimension=8, has_times=False, time_gaps=True)
    assert not tower_preset("small", content_dimension=8, has_times=False).time_gaps


def test_content_variant_has_no_residuals():
    with pytest.raises(
        ConfigError, match=r"content itself .* set residuals to false, or take variant projection"
    ):
        tower_preset("small", content_dimension=64, item_variant="content", residuals=True)


def test_an_older_configuration_takes_defaults():
    old = tower_preset("paper", content_dimension=384).model_dump()
    del old["residuals"], old["time_gaps"]
    config = TowerConfig.model_validate(old)
    assert (config.residuals, config.time_gaps) == (False, False)


def test_heads_must_divide_width():
    with pytest.raises(ValidationError, match="width 10 is not a multiple of heads 4"):
        TowerConfig(content_dimension=4, width=10)


def test_configuration_does_not_import_torch():
    program = (
        "import sys; import learn_features.towers.config, learn_features.training.recipe,"
        "learn_features.training.run; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_settings_are_finite(value):
    """A run's JSON could not say them again."""
    with pytest.raises(ConfigError, match=r"temperature: Input should be a finite number"):
        tower_preset("small", content_dimension=8, temperature=value)
    with pytest.raises(ConfigError, match=r"clip_norm: Input should be a finite number"):
        recipe_preset("small", clip_norm=value)


def test_what_a_loss_makes_no_use_of_is_said(caplog):
    warn_of_unused(recipe_preset("small"), tower_preset("small", content_dimension=8))
    assert not caplog.text
    warn_of_unused(
        recipe_preset("small"), tower_preset("small", content_dimension=8, item_variant="sequence")
    )
    assert "item_variant sequence is trained as single is" in caplog.text
