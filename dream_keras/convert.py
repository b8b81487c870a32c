"""Turn published PyTorch weights into a run folder that every other command takes."""

import argparse
from pathlib import Path

from dream_keras.common.cli import make_callable, run

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.convert", description=SUMMARY)
    p.add_argument("checkpoint", metavar="CHECKPOINT.pth", help="PyTorch file with a state dict")
    p.add_argument(
        "--preset", required=True, help="dream_cnn, dream_rnn, dream_attn, or a config file"
    )
    p.add_argument("--out", metavar="RUN", required=True, help="run folder to make")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    folder = convert(args.checkpoint, args.preset, args.out)
    print(f"converted to {folder}: evaluate and predict take it as a run")


def convert(checkpoint: str | Path, preset: str | Path, out: str | Path) -> Path:
    """Turn a PyTorch checkpoint into a run folder.

    Args:
        checkpoint: A file written by ``torch.save``: a state dict, or a mapping that holds one
            under ``"model"``, ``"state_dict"`` or ``"model_state_dict"``. Only weights are read;
            code in the file is not run.
        preset: The config whose order the weights belong to.
        out: Run folder to make.

    Returns:
        The run folder.

    Raises:
        UserError: If PyTorch is not installed, the file is not a checkpoint or does not fit.
    """
    from dream_keras.config.check import check_experiment, check_files
    from dream_keras.runs.checkpoint import convert_checkpoint
    from dream_keras.runs.folder import RunFolder
    from dream_keras.runs.model_card import write_card
    from dream_keras.runs.run import load_run

    check_experiment(preset)
    check_files(checkpoint)
    folder = RunFolder(Path(out))
    folder.check_new()
    convert_checkpoint(Path(checkpoint), preset, folder)
    write_card(load_run(folder))
    return folder.path


make_callable(__name__, convert)

if __name__ == "__main__":
    run(main)
