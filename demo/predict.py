"""`pose predict`, for whoever looks for it here."""

import sys

from pose.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
