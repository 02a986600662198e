#!/usr/bin/env python
"""Check a published bundle's ONNX towers against its weights under torch.

python export/check_parity.py --bundle var/state/bundles/s0123456789ab
"""

import argparse
import sys

from learn_features.errors import LearnFeaturesError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a bundle's ONNX towers against torch.")
    parser.add_argument("--bundle", required=True, help="path or URI of the bundle")
    options = parser.parse_args(arguments)
    from learn_features.release.entry import recheck_parity

    try:
        report = recheck_parity(options.bundle)
    except LearnFeaturesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"largest difference {report.max_abs_diff:.1e} in {report.cases} cases, "
        f"tolerance {report.tolerance:.0e}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
