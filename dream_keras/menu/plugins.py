"""Plugins: a user's own files that put blocks, processors and trainers on the menu.

A plugin is one Python file. It is imported under a name made from its content, so a copy of it,
such as a run keeps, is the same plugin.
"""

import ast
import hashlib
import sys
import types
from collections.abc import Iterable
from pathlib import Path

from dream_keras.common.errors import UserError, did_you_mean, line_in
from dream_keras.common.files import write_text
from dream_keras.menu import registry

_modules: dict[Path, str] = {}
"""The module that each file is loaded as."""
_texts: dict[str, str] = {}
"""What the file of each module held when it was loaded."""
_loading: list[Path] = []
"""The file that is being loaded."""


def load_plugins(files: Iterable[str | Path]) -> None:
    r"""Import plugin files, which puts what they register on the menu.

    A file that is loaded already, or a copy of one, changes nothing. One that has been edited
    since takes the place of its former version.

    Args:
        files: Python files, from the working directory.

    Raises:
        UserError: If a file is missing, fails, registers nothing, or registers a name that another
            file has taken; the message names the line.

    Examples:
        >>> import tempfile
        >>> lines = (
        ...     "from dream_keras import menu",
        ...     "@menu.register('core', 'same', source='me')",
        ...     "def same(x): return x",
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plugin = Path(folder) / "my_block.py"
        ...     write_text(plugin, "\n".join(lines))
        ...     load_plugins([plugin])
        >>> registry.get("core", "same").source
        'me'
    """
    if _loading:
        raise UserError(
            f"{_loading[0]} starts a run or builds a network while it is loaded as a plugin: put "
            'that below a line if __name__ == "__main__":'
        )
    for file in listed(files):
        _load(file)


def check_plugins(files: Iterable[str | Path]) -> None:
    """Refuse plugins that are no Python files; what is in them is not run.

    Raises:
        UserError: Names the file.
    """
    for file in listed(files):
        _read(file)


def listed(files: Iterable[str | Path]) -> list[Path]:
    """Return plugin files as a list.

    Raises:
        UserError: If they are one text.
    """
    if isinstance(files, str | Path):
        raise UserError(f"plugins: expected a list of files, such as [{str(files)!r}]")
    return [Path(file) for file in files]


def copy_plugins(files: Iterable[str | Path], folder: Path) -> list[Path]:
    """Write plugins, as they were when they were loaded, into a folder.

    Args:
        files: Loaded plugin files.
        folder: Made if there are any.

    Returns:
        The copies, each plugin's once.
    """
    copies: dict[str, Path] = {}
    for file in map(Path, files):
        module = _modules[file.resolve()]
        if module in copies:
            continue
        folder.mkdir(exist_ok=True)
        taken = {copy.name for copy in copies.values()}
        names = (f"{file.stem}{number}.py" for number in ("", *range(2, len(copies) + 2)))
        copies[module] = folder / next(name for name in names if name not in taken)
        write_text(copies[module], _texts[module])
    return list(copies.values())


def _load(file: Path) -> None:
    text = _read(file)
    path = file.resolve()
    module = registry.PLUGIN_MODULE + hashlib.sha256(text.encode()).hexdigest()[:16]
    if module not in sys.modules:
        older = _modules.get(path)
        with registry.all_or_nothing():
            if older is not None:
                registry.forget(older)
            _execute(path, text, module)
        if older is not None:
            sys.modules.pop(older, None)
    _modules[path], _texts[module] = module, text


def _read(file: Path) -> str:
    if file.suffix != ".py":
        raise UserError(
            f"plugin {file}: expected a Python file (.py). What a notebook defines is written to "
            "one by a cell that begins with %%writefile my_block.py."
        )
    if not file.is_file():
        beside = [str(other) for other in file.parent.glob("*.py")]
        raise UserError(
            f"plugin {file}: no such file.{did_you_mean(str(file), beside)} On the command line "
            "it is looked for from the working directory, in a config from the config's folder."
        )
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"plugin {file}: not a text file in UTF-8") from None


def _execute(path: Path, text: str, name: str) -> None:
    """Run a plugin as a module of that name."""
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    _loading.append(path)
    try:
        _check_imports(path, ast.parse(text))
        exec(compile(text, str(path), "exec"), vars(module))
        if not registry.from_module(name):
            raise UserError(
                f"plugin {path} registers nothing: put @menu.register(slot, name, source=...) "
                "above your block, processor or trainer"
            )
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(_describe(error, path)) from None
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        _loading.pop()


def _check_imports(path: Path, tree: ast.AST) -> None:
    """Refuse imports of files beside a plugin, which a run's copy of it would not find."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            beside = path.parent / f"{module.split('.')[0]}.py"
            if beside.is_file():
                raise UserError(
                    f"{path}:{node.lineno}: imports {beside.name}, which stands beside it. A run "
                    f"keeps a copy of {path.name} alone and could not be opened elsewhere: put "
                    f"what it needs into {path.name}, or install it as a package."
                )


def _describe(error: BaseException, path: Path) -> str:
    """Describe an error in a plugin in one line, with the line of the file."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}"
    line = line_in(error, str(path))
    message = " ".join(str(error).split())
    if not isinstance(error, UserError):
        message = f"{type(error).__name__}: {message}"
    elif line is None:
        return message
    if isinstance(error, ImportError):
        message += ". A plugin is a file of its own: what it imports must be installed."
    return f"{path}:{line}: {message}" if line else f"{path}: {message}"
