"""`python -m tools.specimens build NAME ...` trains embedded models anew."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from circuitviz.errors import CircuitvizError
from circuitviz.files import EMBEDDED_MODELS
from tools.specimens.build import build
from tools.specimens.recipe import RECIPES


def main() -> int:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(prog="python -m tools.specimens", description=__doc__)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(RECIPES)}; default: all")
    parser.add_argument("--root", type=Path, default=EMBEDDED_MODELS)
    arguments = parser.parse_args()
    try:
        for name in arguments.names or RECIPES:
            steps = RECIPES[name].plan.steps if name in RECIPES else None
            with tqdm(total=steps, desc=name, file=sys.stderr) as bar:
                build(name, arguments.root, partial(_advance, bar))
    except CircuitvizError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _advance(bar: tqdm, step: int, loss: float) -> None:
    bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    bar.update()


if __name__ == "__main__":
    sys.exit(main())
