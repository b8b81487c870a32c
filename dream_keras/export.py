"""Write a trained run as one file that predicts expression from sequences elsewhere."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import add_plugin_argument, load_backend, make_callable
from dream_keras.common.cli import run as run_command
from dream_keras.runs.artefacts import FORMATS, check_artefact, write_artefact

if TYPE_CHECKING:
    from dream_keras.runs.exported import Takes

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m dream_keras.export",
        description=SUMMARY,
        epilog="The file takes sequences, (batch, longest), and gives (batch, tasks) in the units "
        "of the labels, strands averaged and flanks put on. torch writes the weights only, under "
        "the published names.",
    )
    p.add_argument("run", metavar="RUN", help="run folder or ensemble")
    p.add_argument("--format", choices=FORMATS, required=True)
    p.add_argument("--out", metavar="PATH", required=True, help="file or folder to write")
    p.add_argument(
        "--takes",
        choices=["tokens", "one_hot"],
        default="tokens",
        help="A 0, C 1, G 2, T 3, N 4, more behind the end (default), or channels A, C, G, T",
    )
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    modules = export(args.run, args.format, args.out, takes=args.takes, plugins=args.plugin)
    print(f"written to {args.out}")
    if modules and args.format == "keras":
        names = sorted({name.partition(".")[0] for name in modules})
        print(f"Before keras.saving.load_model it needs: import {', '.join(names)}")


def export(
    run: str | Path,
    format: str,
    out: str | Path,
    *,
    takes: "Takes" = "tokens",
    plugins: Iterable[str | Path] = (),
) -> list[str]:
    """Write a run as one file that predicts expression from sequences elsewhere.

    Flanks, strands, the network, the average and the units of the labels are all in it; of an
    ensemble it predicts the mean. It computes in float32 and takes any number of rows.

    Args:
        run: Run folder or ensemble.
        format: ``"keras"``, ``"saved_model"`` (a folder), ``"onnx"``, ``"litert"`` or
            ``"openvino"``; ``"torch"`` writes the network's weights under the published names,
            which ``convert`` reads.
        out: The file or folder to write.
        takes: ``"tokens"``, (batch, longest), uint8: A 0, C 1, G 2, T 3, N 4, and 5 or more behind
            the end of the sequence. ``"one_hot"``, (batch, longest, 4), float32: A, C, G, T, and
            zeros for N and behind the end.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.

    Returns:
        Modules with layers that are not Keras's own, to be imported before a ``.keras`` file is
        loaded; empty where Keras alone loads it.

    Raises:
        UserError: If a package is missing (the message says which), or the run cannot be written in
            this format (it says why).
    """
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.run import check_run, load_run

    check_run(run)
    check_plugins(plugins := listed(plugins))
    check_artefact(format, Path(out))
    load_backend()
    load_plugins(plugins)
    return write_artefact(load_run(run), format, Path(out), takes)


make_callable(__name__, export)

if __name__ == "__main__":
    run_command(main)
