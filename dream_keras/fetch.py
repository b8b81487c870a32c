"""List and fetch published data and weights; their names work wherever a path does."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dream_keras.common.cli import make_callable, run
from dream_keras.common.errors import UserError, unknown

if TYPE_CHECKING:
    from dream_keras.hub.catalogue import PublishedSet

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.fetch", description=SUMMARY)
    p.add_argument(
        "names",
        metavar="list | show NAME | NAME",
        nargs="*",
        default=["list"],
        help="list all sets (default), show all that is known of some, or fetch them; NAME/FILE "
        "fetches one file",
    )
    p.add_argument("--to", metavar="DIR", help="put NAME into DIR/NAME instead of the cache")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    word, *names = args.names
    if word == "list" and not names:
        from dream_keras.common.text import align
        from dream_keras.hub.catalogue import sets

        head = ("name", "size", "licence", "content")
        rows = [(e.name, _sum(e.sizes), e.licence, e.title) for e in sets().values()]
        print("\n".join(align([head, *rows], left=(0, 2, 3))))
    elif word == "show":
        if not names:
            raise UserError("show needs the name of a set; list shows all of them")
        print("\n\n".join("\n".join(_described(name)) for name in names))
    else:
        for path in fetch(args.names, args.to):
            print(path)


def fetch(
    names: str | Sequence[str], to: str | Path | None = None, progress: bool | None = None
) -> list[Path]:
    """Fetch published data or weights, as far as they are not there.

    Args:
        names: Names of the catalogue: sets, or files or folders in them.
        to: Folder for the sets' folders; None is the cache, where names are looked for when they
            are given in place of a path.
        progress: Whether to show progress bars; None shows them on a terminal.

    Returns:
        For each name where it is: the folder of a set, or its only file.

    Raises:
        UserError: If a name is not known, or something cannot be fetched or is damaged.
    """
    from dream_keras.hub.paths import fetch_files, home, place_of

    root, places = home() if to is None else Path(to), []
    wanted = [_find(name) for name in ([names] if isinstance(names, str) else names)]
    for entry, place in wanted:
        fetch_files(entry, entry.below(place) if place else entry.products, root, progress)
        places.append(root / entry.name / place if place else place_of(entry, root))
    return places


def _find(name: str) -> "tuple[PublishedSet, str]":
    from dream_keras.hub.catalogue import named, sets

    found = named(name)
    if found is None:
        raise unknown("set", name, sets())
    return found


def _described(name: str) -> Iterator[str]:
    """Yield what is known of a set, line by line."""
    from dream_keras.hub.paths import home, is_there

    entry, _ = _find(name)
    yield f"{entry.name}: {entry.title}"
    facts = ("licence", "citation", "columns", "layout", "preset")
    yield from (f"  {key}: {value}" for key in facts if (value := getattr(entry, key)))
    for file in entry.files.values():
        notes = [_sum([file.size])] if file.urls else []
        notes += [f"for {file.part}"] if file.part else []
        notes += ["in the cache"] if is_there(home() / entry.name, file) else []
        yield f"  {file.name} ({', '.join(notes)})" if notes else f"  {file.name}"
        yield from (f"    {url}" for url in file.urls)
        if file.made_of:
            yield f"    made of {', '.join(file.made_of)}"
        elif file.checksum:
            yield f"    {file.checksum}"
        else:
            yield f"    checksum read at first use from {file.record or 'the first download'}"


def _sum(sizes: Sequence[int | None]) -> str:
    """Return the sum of sizes for people: "> 815 MB" where some of them is not known."""
    known = [size for size in sizes if size is not None]
    if not known:
        return "?" if sizes else "-"
    total = tqdm.format_sizeof(sum(known), "B")
    return total if len(known) == len(sizes) else f"> {total}"


make_callable(__name__, fetch)

if __name__ == "__main__":
    run(main)
