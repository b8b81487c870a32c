"""Search a space of orders from the menu, each trained on equal terms."""

import argparse

from dream_keras.common.cli import add_plugin_argument, python_command, run
from dream_keras.menu.registry import ORDER_SLOTS
from dream_keras.search import search


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.search", description=__doc__)
    p.add_argument("--space", help="YAML file or name of a built-in space, e.g. prix_fixe_small")
    p.add_argument(
        "--tuner",
        choices=["grid", "random", "bayesian", "hyperband"],
        help="how the next trial is chosen",
    )
    p.add_argument("--max-trials", type=int, metavar="N", help="trials at most")
    p.add_argument(
        "--budget-minutes", type=float, metavar="M", help="start no trial after this time"
    )
    p.add_argument("--repeats", type=int, metavar="K", help="runs of each trial (seeds)")
    p.add_argument(
        "--objective",
        choices=["val_pearson", "pearson_score", "spearman_score"],
        help="score to maximise",
    )
    p.add_argument("--train", metavar="FILE", help="training table (default: simulated)")
    p.add_argument(
        "--validation",
        "--val",
        metavar="FILE",
        help="validation table (default: a held-out tenth)",
    )
    p.add_argument("--suite", metavar="DIR", help="gold-standard suite to score on")
    p.add_argument("--out", metavar="DIR", help="folder (default: runs/search-SPACE-TIME)")
    p.add_argument("--resume", action="store_true", help="continue the search in --out")
    p.add_argument(
        "--role", choices=["chief", "worker"], help="hand out trials to workers, or run them"
    )
    p.add_argument("--chief", metavar="HOST:PORT", help="where the chief is")
    p.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        help="change one setting of the space; may be given several times",
    )
    add_plugin_argument(p)
    p.add_argument("--seed", type=int, help="first seed of every trial")
    p.add_argument("--smoke", action="store_true", help="three small trials, to test that it runs")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    result = search(
        args.space,
        tuner=args.tuner,
        objective=args.objective,
        max_trials=args.max_trials,
        budget_minutes=args.budget_minutes,
        repeats=args.repeats,
        out=args.out,
        resume=args.resume,
        role=args.role,
        chief=args.chief,
        overrides=args.set,
        train=args.train,
        validation=args.validation,
        suite=args.suite,
        seed=args.seed,
        smoke=args.smoke,
        plugins=args.plugin,
    )
    if args.role != "worker":
        best = result.trials.nlargest(5, "score").dropna(axis="columns", how="all")
        slots = [name for name in ORDER_SLOTS if name in best]
        print(best[["trial", *slots, "score"]].to_string(index=False))
        folder = result.folder
        print(f"\nThe search is in {folder}: start with {folder}/report.md.")
        print("To look at its trials in TensorBoard:")
        print(f"  {python_command('tensorboard.main', '--logdir', folder / 'trials')}")
        if (folder / "best.yaml").exists():
            print("To train the best order at full length:")
            print(f"  {python_command('dream_keras.train', '--config', folder / 'best.yaml')}")


if __name__ == "__main__":
    run(main)
