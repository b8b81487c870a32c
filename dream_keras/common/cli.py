"""What every command shares: quiet start-up, clean errors, exit statuses, callable modules."""

import argparse
import errno
import importlib
import importlib.util
import io
import logging
import os
import shlex
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path

from dream_keras.common.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_RESUME = 75
"""Of a training run that was told to stop (SIGTERM) and has saved everything: start it again with
--resume. The number is the "temporary failure" of sysexits.h."""
BACKENDS = ("tensorflow", "jax")
"""Of Keras; those that the package runs on, the first choice first."""


def load_backend() -> None:
    """Import Keras and its backend without their start-up messages.

    TensorFlow's libraries write some of these straight to the standard error stream before any
    setting can reach them, so the stream itself is closed for the length of the import.

    Without ``KERAS_BACKEND`` it is the first of ``BACKENDS`` that is installed.

    Raises:
        UserError: If none is installed, or Keras is set to another one.
    """
    installed = installed_backends()
    trouble = backend_trouble(installed, os.environ.get("KERAS_BACKEND"))
    if trouble:
        raise UserError(": ".join(trouble))
    os.environ.setdefault("KERAS_BACKEND", installed[0])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "absl", "jax"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if "keras" in sys.modules:
        _set_keras()
        return
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    nnx = os.environ.get("KERAS_NNX_ENABLED")
    os.environ["KERAS_NNX_ENABLED"] = "false"  # Keras reads it once, and keras.json before it
    try:
        os.dup2(nowhere, 2)
        importlib.import_module("keras")
    except (ValueError, AttributeError, TypeError, AssertionError) as error:
        raise UserError(
            f"Keras does not start: {' '.join(str(error).split())} If that stands in "
            f"{keras_file()}, mend or remove the file."
        ) from None
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
        del os.environ["KERAS_NNX_ENABLED"]
        if nnx is not None:
            os.environ["KERAS_NNX_ENABLED"] = nnx
    _set_keras()
    sys.modules["keras"].config.set_dtype_policy("float32")


KERAS_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
"""What a run sets, whatever ``keras.json`` says."""
JAX_DEFAULTS = {
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_prng_impl": "threefry2x32",
}
"""What a run sets, whatever the environment variables of these names say."""


def _set_keras() -> None:
    """Set what a run depends on, whatever the user's files and variables say.

    A policy that the user's own program has set stays: runs choose theirs by
    ``runtime.precision``.

    Raises:
        UserError: If Keras was started on a backend that the package does not run on.
    """
    config = sys.modules["keras"].config
    if config.backend() not in BACKENDS:
        raise UserError(
            f"Keras was started on {config.backend()}; training and prediction run on "
            f"{' and '.join(BACKENDS)}: set KERAS_BACKEND before Keras is imported"
        )
    for name, value in KERAS_DEFAULTS.items():
        getattr(config, f"set_{name}")(value)
    config.set_max_epochs(None)
    config.set_max_steps_per_epoch(None)
    if config.backend() == "jax":
        import jax

        for name, value in JAX_DEFAULTS.items():
            jax.config.update(name, value)


def keras_file() -> Path:
    """Return where Keras looks for the user's settings."""
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME") or home / ".keras").expanduser() / "keras.json"


def installed_backends() -> list[str]:
    """Return those of ``BACKENDS`` that are installed."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def backend_trouble(installed: Sequence[str], wanted: str | None) -> tuple[str, str] | None:
    """Return why no backend can be used and the cure, or None if one can.

    Args:
        installed: Those of ``BACKENDS`` that are installed.
        wanted: The value of ``KERAS_BACKEND``, or None if it is not set.

    Examples:
        >>> backend_trouble(["jax"], wanted="jax")
        >>> backend_trouble(["jax"], wanted="tensorflow")
        ('KERAS_BACKEND=tensorflow, which is not installed', 'pip install tensorflow')
    """
    if not installed:
        return (
            "training and prediction need TensorFlow or JAX; neither is installed",
            "pip install tensorflow, or pip install jax",
        )
    if wanted is not None and wanted not in BACKENDS:
        return (
            f"KERAS_BACKEND={wanted}, but training and prediction run on the backends "
            f"{' and '.join(BACKENDS)}",
            "unset the variable",
        )
    if wanted is not None and wanted not in installed:
        return f"KERAS_BACKEND={wanted}, which is not installed", f"pip install {wanted}"
    return None


def run(main: Callable[[], None]) -> None:
    """Run a command and leave with its exit status: 0, 2 (a user's mistake) or 130 (Ctrl-C).

    A full disk or a folder that cannot be written is the user's to mend as well, so it is
    reported in one line too. Anything else is a bug of ours and keeps its traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        # Names in the user's files may hold any letter, whatever the locale.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        main()
    except UserError as error:
        _leave(str(error), EXIT_USER_ERROR)
    except BrokenPipeError:
        # The reader (head, less) has gone; stop Python from complaining at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno is None:
            raise
        _leave(_describe_os_error(error), EXIT_USER_ERROR)
    except KeyboardInterrupt:
        _leave("interrupted", EXIT_INTERRUPTED)


def add_plugin_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command take ``--plugin FILE``, any number of times, as ``plugin``."""
    parser.add_argument(
        "--plugin",
        metavar="FILE",
        action="append",
        default=[],
        help="Python file that puts something on the menu; may be given several times",
    )


def add_adapters_argument(
    parser: argparse.ArgumentParser, sequences: str = "sequences", otherwise: str = ""
) -> None:
    """Let a command take ``--adapters``, a value of ``data.adapters``.

    Args:
        parser: The command's.
        sequences: Which ones it is about.
        otherwise: What else the default does.
    """
    parser.add_argument(
        "--adapters",
        metavar="present|add|LEFT,RIGHT",
        help=f"whether {sequences} have their adapters, or which are put on (default: as in "
        f"training{otherwise})",
    )


def add_column_arguments(parser: argparse.ArgumentParser, targets: bool = True) -> None:
    """Let a command take the names of a table's columns.

    They are ``sequence_column``, ``id_column`` and, as a list, ``target_columns``.
    """
    parser.add_argument(
        "--sequence-column",
        metavar="NAME",
        help="header name of the sequences (default: seq or sequence)",
    )
    if targets:
        parser.add_argument(
            "--target-columns",
            metavar="A,B,...",
            type=lambda names: [name.strip() for name in names.split(",")],
            help="header names of the measured values (default: the only other column of numbers)",
        )
        # The former name, for one column.
        parser.add_argument(
            "--target-column",
            dest="target_columns",
            type=lambda name: [name],
            help=argparse.SUPPRESS,
        )
    parser.add_argument("--id-column", metavar="NAME", help="header name of the rows' names")


def python_command(module: str, *arguments: object) -> str:
    """Return a shell command that runs a module with this interpreter, from this folder.

    ``python`` alone would be another interpreter where a virtual environment is not active.
    """
    here, executable = Path.cwd(), Path(sys.executable)
    if here in executable.parents[1:]:
        executable = executable.relative_to(here)
    return shlex.join([str(executable), "-m", module, *map(str, arguments)])


def _leave(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def _describe_os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{(error.strerror or str(error)).lower()}.{_os_remedy(error)}"


def _os_remedy(error: OSError) -> str:
    """Return what can be done about an error of the file system, after a space."""
    if error.errno == errno.ENOSPC:
        return " Free some space or choose another folder with --out; then --resume."
    if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM) or not error.filename:
        return ""
    path = Path(os.fsdecode(error.filename)).absolute()
    if path.is_file() and not os.access(path, os.R_OK):
        return f" Allow reading it: {shlex.join(['chmod', 'u+r', str(path)])}"
    folder = next((each for each in path.parents if each.is_dir()), path)
    if error.errno == errno.EROFS:
        return f" The file system of {folder} is read-only: copy what you work on elsewhere."
    right = "u+rwx" if os.access(folder, os.W_OK) else "u+wx"
    blocked = path if path.is_dir() else folder
    return (
        f" Allow writing there ({shlex.join(['chmod', right, str(blocked)])}), or work in a folder "
        "of your own."
    )


def make_callable(module_name: str, function: Callable[..., object]) -> None:
    """Let ``dream_keras.<command>(...)`` call ``function``.

    The commands are modules (``python -m dream_keras.train``) and public functions of the same
    name (``dream_keras.train(...)``). Importing the module would hide the function; a module that
    can be called is both.
    """

    class CallableModule(types.ModuleType):
        def __call__(self, *args: object, **kwargs: object) -> object:
            return function(*args, **kwargs)

        def __dir__(self) -> list[str]:
            within = f"{self.__name__}."
            below = (
                name
                for name, value in vars(self).items()
                if isinstance(value, types.ModuleType) and value.__name__.startswith(within)
            )
            return [function.__name__, *below]

    module = sys.modules[module_name]
    module.__class__ = CallableModule
    module.__doc__, module.__wrapped__ = function.__doc__, function  # type: ignore[attr-defined]
    module.__all__ = [function.__name__]  # type: ignore[attr-defined]
