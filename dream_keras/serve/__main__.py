"""Serve runs: predictions over the GAME protocol, and a page for people."""

import argparse
import sys
from pathlib import Path

from dream_keras.common.cli import add_plugin_argument, run
from dream_keras.common.errors import UserError
from dream_keras.scoring.suite import PARTS
from dream_keras.serve import HOST, MAX_BODY, MAX_SEQUENCES, MAX_WAITING, PORT, serve


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="python -m dream_keras.serve",
        usage="%(prog)s RUN [RUN ...] [options] [-- HOST PORT]\n"
        "       %(prog)s evaluate HOST PORT OUT --suite PATH",
        description=__doc__,
        epilog="Behind -- stand the arguments of a GAME container: HOST, PORT and others, which "
        "are ignored. The command evaluate scores a GAME predictor on a suite: evaluate --help.",
    )
    result.add_argument("runs", metavar="RUN", nargs="+", help="run folder")
    result.add_argument(
        "--host",
        default=HOST,
        help="address to listen at (default: %(default)s, reached from this machine only)",
    )
    result.add_argument(
        "--port",
        type=int,
        default=PORT,
        help="port to listen at (default: %(default)s); 0 takes a free one",
    )
    result.add_argument(
        "--max-body",
        type=int,
        default=MAX_BODY,
        metavar="MIB",
        help="largest request (default: %(default)s MiB)",
    )
    result.add_argument(
        "--max-sequences",
        type=int,
        default=MAX_SEQUENCES,
        metavar="N",
        help="most sequences in a request (default: %(default)s)",
    )
    result.add_argument(
        "--max-waiting",
        type=int,
        default=MAX_WAITING,
        metavar="N",
        help="most sequences that wait for their prediction (default: %(default)s)",
    )
    add_plugin_argument(result)
    return result


def evaluate_parser() -> argparse.ArgumentParser:
    """Build the argument parser of the command evaluate."""
    result = argparse.ArgumentParser(
        prog="python -m dream_keras.serve evaluate",
        description="Ask a GAME predictor for a suite's sequences, and score its answer.",
    )
    result.add_argument("host", metavar="HOST", help="where the predictor is")
    result.add_argument("port", metavar="PORT", type=int)
    result.add_argument("out", metavar="OUT", help="folder for its predictions and their scores")
    result.add_argument(
        "--suite", metavar="PATH", required=True, help="folder or YAML file of the suite"
    )
    result.add_argument(
        "--part",
        choices=PARTS,
        help="rows to score (default: private, or all where nothing is public)",
    )
    return result


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["evaluate"]:
        _evaluate(evaluate_parser().parse_args(words[1:]))
        return
    game = words.index("--") if "--" in words else len(words)
    args = parser().parse_args(words[:game])
    host, port = _game_arguments(words[game + 1 :])
    serve(
        args.runs,
        host=args.host if host is None else host,
        port=args.port if port is None else port,
        max_body=args.max_body,
        max_sequences=args.max_sequences,
        max_waiting=args.max_waiting,
        plugins=args.plugin,
    )


def _game_arguments(words: list[str]) -> tuple[str | None, int | None]:
    """Return host and port of a GAME container's arguments, ``HOST PORT [others]``."""
    if not words:
        return None, None
    if len(words) < 2 or not words[1].isdecimal():
        raise UserError(f"-- {' '.join(words)}: expected HOST PORT, such as 0.0.0.0 8080")
    return words[0], int(words[1])


def _evaluate(args: argparse.Namespace) -> None:
    from dream_keras.scoring.report import table
    from dream_keras.serve import check_installed
    from dream_keras.serve.evaluator import evaluate_predictor

    check_installed()
    print(table(evaluate_predictor(args.host, args.port, Path(args.out), args.suite, args.part)))


if __name__ == "__main__":
    run(main)
