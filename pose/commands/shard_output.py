"""`pose predict --engine ray`: rows of all sources in parquet files, by a pool of workers."""

import argparse
from contextlib import closing
from dataclasses import asdict


def predict_on_ray(args: argparse.Namespace) -> int:
    """The folder's unfinished shards; exit status 2 where inputs could not be read."""
    from tqdm import tqdm

    from pose.commands.sources import split_keys
    from pose.commands.tables import format_table
    from pose.inputs import list_inputs
    from pose.scale import run_on_ray
    from pose.shards import Settings, finish_run, open_run

    for option in ("boxes", "track", "show", "overwrite"):
        if getattr(args, option):
            raise ValueError(f"--{option}: goes with one machine, not with --engine ray")
    names, keys = split_keys(args.sources)
    settings = Settings(args.weights, args.detector or "default", args.device, tuple(keys))
    run = open_run(list_inputs(names), args.out, settings)
    done = len(run.shards) - len(run.unfinished())
    bar = tqdm(total=len(run.shards), initial=done, unit="shard", disable=None)
    with closing(run_on_ray(run)) as accounts, bar:
        for _ in accounts:
            bar.update()
    counts = asdict(finish_run(run))
    print(format_table(list(counts), [[str(count) for count in counts.values()]]))
    print(f"rows: {args.out}")
    return 2 if counts["errors"] else 0
