"""List the commands, or run one: ``python -m dream_keras``, or ``dream-keras COMMAND ...``."""

import ast
import runpy
import sys
from pathlib import Path

import dream_keras
from dream_keras.common.cli import run
from dream_keras.common.errors import unknown

USAGE = """\
usage: dream-keras COMMAND ...    (or: python -m dream_keras.COMMAND ...)

The models of the Random Promoter DREAM Challenge. Commands:

{commands}

dream-keras COMMAND --help explains one of them."""


def describe(command: str) -> str:
    """Return the first line of a command's description, without importing the command."""
    home = Path(__file__).parent
    file = home / f"{command}.py"
    source = file if file.exists() else home / command / "__main__.py"
    return (ast.get_docstring(ast.parse(source.read_text("utf-8"))) or "").partition("\n")[0]


def main(argv: list[str] | None = None) -> None:
    """List the commands, or run the one that is named first with the arguments after it.

    Raises:
        UserError: If there is no such command.
    """
    command, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help"):
        lines = (f"  {name:<11}  {describe(name)}" for name in dream_keras.COMMANDS)
        print(USAGE.format(commands="\n".join(lines)))
    elif command == "--version":
        print(dream_keras.__version__)
    elif command in dream_keras.COMMANDS:
        sys.argv[1:] = arguments
        runpy.run_module(f"dream_keras.{command}", run_name="__main__", alter_sys=True)
    else:
        raise unknown("command", command, dream_keras.COMMANDS)


def script() -> None:
    """Be the console script ``dream-keras``."""
    run(main)


if __name__ == "__main__":
    script()
