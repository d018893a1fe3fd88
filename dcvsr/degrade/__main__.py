"""``python -m dcvsr.degrade [verify|preview] input=hr/ output=lr/``: make, verify or preview an LR set."""

import importlib
import sys

MODULES = {"verify": "dcvsr.degrade.verify", "preview": "dcvsr.degrade.preview"}
"""Subcommand -> its module; without one, ``dcvsr.degrade.make`` makes the set."""


def main() -> None:
    """Run the subcommand that the first argument names, or make the set."""
    module = MODULES.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if module is not None:
        del sys.argv[1]
    importlib.import_module(module or "dcvsr.degrade.make").main()


if __name__ == "__main__":
    main()
