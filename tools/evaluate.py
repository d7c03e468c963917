"""`pose evaluate`, for whoever looks for it here."""

import sys

from pose.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
