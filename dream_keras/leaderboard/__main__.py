"""Keep a leaderboard: submissions with intervals, paired comparisons and a web page."""

import argparse
import json
from typing import TypeAlias

from dream_keras.common.cli import run
from dream_keras.leaderboard import leaderboard

_PHASES = ("public", "private")
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="python -m dream_keras.leaderboard",
        description="Keep a leaderboard in one file: submissions are checked, scored with "
        "bootstrap intervals and kept; any two can be compared on the same resamples; and a web "
        "page shows it all without a server.",
    )
    commands = result.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_init(commands)
    _add_submit(commands)
    _add_show(commands)
    _add_compare(commands)
    _add_page(commands)
    _add_phase(commands)
    return result


def _add_init(commands: Commands) -> None:
    init = _command(commands, "init", "make a leaderboard for a suite")
    init.add_argument(
        "--suite",
        metavar="PATH",
        required=True,
        help="folder or YAML file of the suite; or a run that predicts profiles, whose test peaks "
        "are the suite",
    )
    init.add_argument(
        "--phase",
        choices=_PHASES,
        default="private",
        help="public: nothing about the private part is shown until the command phase says so "
        "(default: %(default)s)",
    )
    init.add_argument(
        "--weekly-limit",
        type=int,
        metavar="N",
        help="submissions that a team may make in seven days (default: any number)",
    )
    init.add_argument(
        "--no-published",
        action="store_true",
        help="leave out the published final leaderboard of the challenge, which is filled in "
        "when the suite is the challenge's own test set",
    )


def _add_submit(commands: Commands) -> None:
    submit = _command(commands, "submit", "check, score and keep predictions")
    submit.add_argument("--team", required=True, metavar="NAME", help="name of the team")
    submit.add_argument(
        "--predictions",
        metavar="FILE",
        help="JSON {position: prediction}, or lines of sequence<TAB>prediction with all rows of "
        "the suite in order; may be gzipped",
    )
    submit.add_argument(
        "--run",
        metavar="RUN",
        help="run folder: its model predicts, unless --predictions is given as well; its config "
        "is kept with the submission",
    )
    submit.add_argument("--note", default="", metavar="TEXT", help="a line about the submission")
    _add_resamples(submit)
    _add_suite(submit)


def _add_show(commands: Commands) -> None:
    show = _command(commands, "show", "print the standings")
    _add_phase_option(show)
    show.add_argument(
        "--json", action="store_true", help="print JSON, with all intervals, instead of a table"
    )


def _add_compare(commands: Commands) -> None:
    compare = _command(
        commands,
        "compare",
        "compare two submissions, runs or files on the same resamples",
        board_required=False,
    )
    for name in ("a", "b"):
        compare.add_argument(
            name,
            metavar=name.upper(),
            help="team (its latest submission) or number of a submission, with --board; or a run "
            "folder or file of predictions",
        )
    _add_phase_option(compare)
    _add_resamples(compare)
    _add_suite(compare)


def _add_page(commands: Commands) -> None:
    page = _command(commands, "page", "write a web page that needs no server")
    page.add_argument("out", metavar="OUT", help="folder for index.html")
    page.add_argument(
        "--ceiling",
        nargs="+",
        default=(),
        metavar="SET",
        help="also show what a perfect predictor is expected to reach, from pairs that all of "
        "these call unchanged: teams, numbers of submissions, run folders or files of predictions",
    )
    _add_phase_option(page)
    _add_suite(page)


def _add_phase(commands: Commands) -> None:
    phase = _command(commands, "phase", "end the public phase, or begin it again")
    phase.add_argument("phase", choices=_PHASES)


def _command(
    commands: Commands, name: str, text: str, *, board_required: bool = True
) -> argparse.ArgumentParser:
    result: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text + ".")
    result.add_argument(
        "--board", metavar="FILE", required=board_required, help="file of the leaderboard"
    )
    return result


def _add_phase_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--phase",
        choices=_PHASES,
        help="part of the suite to show (default: that of the leaderboard's phase)",
    )


def _add_resamples(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--resamples",
        type=int,
        default=10_000,
        metavar="N",
        help="bootstrap resamples (default: %(default)s)",
    )


def _add_suite(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--suite",
        metavar="PATH",
        help="folder or YAML file of the suite, or the regions file or a folder prepared of it, if "
        "it has moved (default: as recorded)",
    )


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(argv)
    {
        "init": _init,
        "submit": _submit,
        "show": _show,
        "compare": _compare,
        "page": _page,
        "phase": _phase,
    }[arguments.command](arguments)


def _init(arguments: argparse.Namespace) -> None:
    from dream_keras.leaderboard.board import create_board

    board = create_board(
        arguments.board,
        arguments.suite,
        phase=arguments.phase,
        weekly_limit=arguments.weekly_limit,
        published=not arguments.no_published,
    )
    published = sum(entry.is_published for entry in board.store.entries())
    rows = f", {published} published rows" if published else ""
    print(
        f"{arguments.board}: new leaderboard for {arguments.suite}, {arguments.phase} phase{rows}"
    )


def _submit(arguments: argparse.Namespace) -> None:
    board = leaderboard(arguments.board, suite=arguments.suite)
    entry = board.submit(
        arguments.team,
        arguments.predictions,
        run=arguments.run,
        note=arguments.note,
        resamples=arguments.resamples,
    )
    part = board.part()
    totals = entry.scores[part].totals.values()
    texts = [
        f"{name} {score.value:.6f} [{score.low:.6f}, {score.high:.6f}]"
        for name, score in zip(board.info.score_names.values(), totals, strict=True)
    ]
    print(f"number {entry.id}, team {entry.team}, {part} part: {', '.join(texts)}")


def _show(arguments: argparse.Namespace) -> None:
    standings = leaderboard(arguments.board).standings(arguments.phase)
    if arguments.json:
        print(json.dumps(standings.to_dict(), indent=2, allow_nan=False))
    else:
        print(standings.table())


def _compare(arguments: argparse.Namespace) -> None:
    from dream_keras.leaderboard.comparison import compare

    comparison = compare(
        arguments.a,
        arguments.b,
        board=arguments.board and leaderboard(arguments.board, suite=arguments.suite),
        suite=arguments.suite,
        phase=arguments.phase,
        resamples=arguments.resamples,
    )
    print(comparison.text())


def _page(arguments: argparse.Namespace) -> None:
    from dream_keras.leaderboard.page_data import write_page

    board = leaderboard(arguments.board, suite=arguments.suite)
    print(write_page(board, arguments.out, arguments.phase, arguments.ceiling))


def _phase(arguments: argparse.Namespace) -> None:
    leaderboard(arguments.board).set_phase(arguments.phase)
    print(f"{arguments.board}: {arguments.phase} phase")


if __name__ == "__main__":
    run(main)
