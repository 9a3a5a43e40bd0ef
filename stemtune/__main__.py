"""Runs the command `stemtune` where it is not installed: `python -m stemtune`."""

import sys

from stemtune.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
