"""``python -m simulation.faults``."""

import sys

from .command import main

if __name__ == "__main__":  # the processes of ``--jobs`` import this file too
    sys.exit(main(sys.argv[1:]))
