"""What the declarations are made from: learn.yaml and the deployment document in force."""

import contextlib
import os
from pathlib import Path

from learn_features.config import CONFIG_VARIABLE, load
from learn_features.release.deployment import DeploymentStore

PROJECT = Path(__file__).resolve().parent.parent

with contextlib.chdir(Path.cwd() if os.environ.get(CONFIG_VARIABLE) else PROJECT):
    CONFIG = load()
DOCUMENT = DeploymentStore(CONFIG.deployment).read()
