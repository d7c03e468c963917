"""`pose train`, for whoever looks for it here."""

import sys

from pose.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
