"""Write the page of tested versions out of the reports of the last runs: `python -m matrix TOX_DIRECTORY PAGE`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matrix.page import page
from matrix.run import Unfit


def main() -> None:
    """Write the page, or say which run is missing."""
    parser = argparse.ArgumentParser(prog="matrix", description=__doc__)
    parser.add_argument("directory", type=Path, help="where tox keeps its environments: .tox")
    parser.add_argument("page", type=Path, help="the file to write: docs/matrix.md")
    arguments = parser.parse_args()
    try:
        arguments.page.write_text(page(arguments.directory))
    except Unfit as unfit:
        sys.exit(f"error: {unfit}")


if __name__ == "__main__":
    main()
