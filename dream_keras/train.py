"""Train a model, score it on the gold-standard suite and keep everything in a run folder."""

import argparse
from typing import Any

from dream_keras.common.cli import add_plugin_argument, load_backend, make_callable, run


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.train", description=__doc__)
    p.add_argument("--config", help="YAML file or name of a built-in config (default: quickstart)")
    p.add_argument(
        "--train", metavar="FILE", help="training table, or folder of prepare (default: simulated)"
    )
    p.add_argument("--val", metavar="FILE", help="validation table (default: a held-out tenth)")
    p.add_argument(
        "--split",
        choices=["random", "similarity"],
        help="how a tenth is held out: row by row (default), or whole families of related rows",
    )
    p.add_argument("--suite", metavar="DIR", help="gold-standard suite to score on")
    p.add_argument(
        "--out", metavar="RUN", help="run folder, or gs://... (default: runs/CONFIG-TIME)"
    )
    p.add_argument("--sequence-column", metavar="NAME", help="for tables with a header")
    p.add_argument("--target-column", metavar="NAME", help="for tables with a header")
    p.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        help="change one setting of the config; may be given several times",
    )
    add_plugin_argument(p)
    p.add_argument("--seed", type=int, help="seed of everything random")
    p.add_argument("--smoke", action="store_true", help="shrink to well under a minute")
    p.add_argument("--resume", action="store_true", help="continue the run in --out")
    p.add_argument("--deterministic", action="store_true", help="only deterministic kernels")
    p.add_argument(
        "--strategy",
        metavar="NAME",
        help="devices: auto (default), none (one), mirrored, mirrored:N, multiworker, tpu",
    )
    p.add_argument("--tpu", metavar="ADDRESS", help="TPU for TensorFlow: local, a name or address")
    p.add_argument("--on-bad-row", choices=["fail", "skip"], help="what to do with bad rows")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    result = train(
        args.config,
        train=args.train,
        validation=args.val,
        split=args.split,
        suite=args.suite,
        out=args.out,
        overrides=args.set,
        plugins=args.plugin,
        sequence_column=args.sequence_column,
        target_column=args.target_column,
        seed=args.seed,
        smoke=args.smoke,
        resume=args.resume,
        deterministic=args.deterministic,
        strategy=args.strategy,
        tpu=args.tpu,
        on_bad_row=args.on_bad_row,
    )
    if not result.is_chief:
        return
    if result.score:
        from dream_keras.scoring.report import table

        print(table(result.score))
    run = args.out or result.folder
    print(f"\nThe run is in {run}: start with report.md, or look at it with")
    print(f"  tensorboard --logdir {run}")


def train(*args: Any, **settings: Any) -> Any:
    """Train a model; see ``dream_keras.training.session.train`` for the arguments."""
    load_backend()
    from dream_keras.training.session import train

    return train(*args, **settings)


make_callable(__name__, train)

if __name__ == "__main__":
    run(main)
