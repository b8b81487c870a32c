"""Rows per second of the table reader, for each form of table.

    python -m benchmarks.reading [--rows 1000000]

Rows of 110 bp with a value are read and checked, not encoded, in one process and one thread; the
forms take turns. Other load on the machine slows the clock but not the processor time. Writes its
section of ``RESULTS.md``.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.results import RESULTS, machine, rate_cells, table, write_section
from benchmarks.settings import write_table
from dream_keras.data.table import read_chunks


def write_forms(folder: Path, rows: int) -> dict[str, Path]:
    """Write the same rows as the official format, as CSV with a header, and with quotes."""
    official = write_table(folder / "official.txt", rows)
    text = official.read_text()
    plain, quoted = folder / "plain.csv", folder / "quoted.csv"
    plain.write_text("seq,y\n" + text.replace("\t", ","))
    with quoted.open("w") as file:
        file.write('"seq","y"\n')
        file.writelines('"{}","{}"\n'.format(*line.split("\t")) for line in text.splitlines())
    return {"two columns, tabs": official, "header, commas": plain, "all quoted": quoted}


def measure(path: Path, rows: int) -> tuple[float, float]:
    """Read a table once; return rows per second of the clock and of processor time."""
    clock, used = time.perf_counter(), time.process_time()
    found = sum(len(chunk.tokens) for chunk in read_chunks(path))
    assert found == rows
    return rows / (time.perf_counter() - clock), rows / (time.process_time() - used)


def main(argv: list[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        forms = write_forms(Path(folder), args.rows)
        turns = [
            {name: measure(path, args.rows) for name, path in forms.items()}
            for _ in range(args.repeats)
        ]
    lines = []
    for name in forms:
        lines.append([name, *rate_cells([turn[name] for turn in turns])])
        print(" | ".join(lines[-1]), flush=True)
    head = ("table", "rows/s, median", "rows/s, best", "rows per processor second, median")
    text = [
        f"Reading: {about}. {args.rows:,} rows of 110 bp, {args.repeats} turns, one thread.",
        "",
        *table(head, lines),
    ]
    write_section(args.results, "reading", text)


if __name__ == "__main__":
    main()
