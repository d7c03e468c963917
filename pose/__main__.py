"""`python -m pose` is `pose`, which is what `torchrun -m pose train ...` needs."""

import sys

from pose.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
