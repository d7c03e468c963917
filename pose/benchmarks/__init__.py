"""`pose benchmark`: each stage and the published way of it, timed side by side in one run."""
