#!/usr/bin/env python
"""Export a training run's towers to ONNX and publish the bundle; prints its URI.

python export/export_towers.py --run var/runs/2026-01-01 [--config learn.yaml] [--evaluation FILE]
"""

import argparse
import sys
from pathlib import Path

from learn_features.errors import LearnFeaturesError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Export a training run to a bundle of ONNX towers.")
    parser.add_argument("--run", type=Path, required=True, help="folder of a training run")
    parser.add_argument("--evaluation", type=Path, help="evaluation.json; default the run's own")
    parser.add_argument("--config", type=Path, help="learn.yaml")
    options = parser.parse_args(arguments)
    from learn_features import config
    from learn_features.release.entry import export_folder

    try:
        print(export_folder(config.load(options.config), options.run, options.evaluation).uri)
    except LearnFeaturesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
