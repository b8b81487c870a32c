"""A small synthetic suite in the official layout, whose subset sizes are known by design."""

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROWS = 300
TABLE = "filtered_test_data_with_MAUDE_expression.txt"
CSV_FILES = {
    "high": "high_exp_seqs.csv",
    "low": "low_exp_seqs.csv",
    "yeast": "yeast_seqs.csv",
    "random": "all_random_seqs.csv",
    "challenging": "challenging_seqs.csv",
    "SNVs": "all_SNVs_seqs.csv",
    "motif_perturbation": "motif_perturbation_seqs.csv",
    "motif_tiling": "motif_tiling_seqs.csv",
}
PUBLIC_FILES = {"all": "ground.json"} | {name: f"{name}_exp_indices.json" for name in CSV_FILES}


@dataclass
class SuiteFiles:
    """A suite on disk, and what was written to it.

    Attributes:
        folder: The suite's folder.
        sequences: The sequences, 110 bp.
        measured: Their values, shape (ROWS,).
        predictions: Values that correlate with them, shape (ROWS,), on another scale, with ties.
        singles: Positions by subset, each once.
        pairs: (alt, ref) positions by subset, each once.
        public: Positions or pairs of the public lists by subset, "all" included.
    """

    folder: Path
    sequences: list[str]
    measured: np.ndarray
    predictions: np.ndarray
    singles: dict[str, list[int]]
    pairs: dict[str, list[tuple[int, int]]]
    public: dict[str, list]

    @property
    def table(self) -> Path:
        return self.folder / TABLE

    def csv_file(self, name: str) -> Path:
        return self.folder / "test_subset_ids" / CSV_FILES[name]

    def public_file(self, name: str) -> Path:
        return self.folder / "public_leaderboard_ids" / PUBLIC_FILES[name]

    def json_text(self, predictions=None) -> str:
        """A JSON submission, its positions not in order."""
        values = self.predictions if predictions is None else predictions
        order = np.random.default_rng(5).permutation(ROWS)
        return json.dumps({str(row): float(values[row]) for row in order})

    def tsv_lines(self) -> list[str]:
        """The lines of a table submission, without line ends."""
        return self._lines(self.predictions)

    def write(self) -> None:
        """Write all files as the challenge lays them out."""
        self.folder.mkdir()
        self.table.write_text("\n".join([*self._lines(self.measured), ""]))
        for folder in ("test_subset_ids", "public_leaderboard_ids"):
            (self.folder / folder).mkdir()
        for name, members in self.singles.items():
            self._write_singles(name, members)
        for name, pairs in self.pairs.items():
            self._write_pairs(name, pairs)
        # The public lists repeat the measured values, with other last digits than the table.
        near = (self.measured + 4e-4).tolist()
        for name, entries in self.public.items():
            content = (
                {f"{alt},{ref}": [near[alt], near[ref]] for alt, ref in entries}
                if name in self.pairs
                else {str(row): near[row] for row in entries}
            )
            self.public_file(name).write_text(json.dumps(content))

    def _lines(self, values):
        rows = zip(self.sequences, values.tolist(), strict=True)
        return [f"{sequence}\t{value!r}" for sequence, value in rows]

    def _write_singles(self, name, members):
        # The csv files hold a value for each row too; it is not the one to score on.
        lines = [
            [number, f"tag,{number}", self.sequences[row], row, 99.0]
            for number, row in enumerate(members + members[:3])
        ]
        _write_csv(self.csv_file(name), ["", "tag", "sequence", "pos", "exp"], lines)

    def _write_pairs(self, name, pairs):
        again = pairs + pairs[:2]
        if name == "SNVs":
            header, lines = ["", "alt_pos", "ref_pos"], [[i, *pair] for i, pair in enumerate(again)]
        else:
            tail = ["alt_pos", "ref_pos", "alt_exp", "ref_exp"]
            header = ["", "Unnamed: 0", "alt_sequence", "ref_sequence", *tail]
            lines = [
                [i, i, self.sequences[alt], self.sequences[ref], alt, ref, "", ""]
                for i, (alt, ref) in enumerate(again)
            ]
        _write_csv(self.csv_file(name), header, lines)


def _write_csv(path, header, lines):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])


def _design(random):
    """Choose members and public entries; the comments say which rule each oddity is for."""
    p = random.permutation(ROWS).tolist()
    singles = {
        "high": p[0:20],
        "low": p[20:40],
        "yeast": p[40:60],
        "random": p[60:160],
        "challenging": p[160:190],
    }
    public = {name: singles[name][:6] for name in ("high", "low", "yeast")}
    public |= {"random": singles["random"][:30], "challenging": singles["challenging"][:8]}
    pairs = {
        "SNVs": [(p[row], p[row + 1]) for row in range(190, 240, 2)],
        "motif_perturbation": [(p[240 + i], p[264 + i % 4]) for i in range(24)],
        # The references are rows of the random subset, too.
        "motif_tiling": [(p[268 + i], p[158 + i % 2]) for i in range(30)],
    }
    for name, count in ("SNVs", 7), ("motif_perturbation", 5), ("motif_tiling", 6):
        public[name] = pairs[name][:count]
    # Two private pairs of public rows: one new, one a public pair turned round.
    pairs["SNVs"] += [(p[190], p[193]), (p[191], p[190])]
    # The ground list leaves out rows of public motif pairs, which are public all the same, and
    # has a row that is in no subset.
    snv_rows = [row for pair in public["SNVs"] for row in pair]
    public["all"] = [row for name in singles for row in public[name]] + snv_rows + [p[298]]
    return singles, pairs, public


@pytest.fixture
def suite_files(tmp_path):
    random = np.random.default_rng(11)
    inserts = random.choice(list("ACGT"), (ROWS, 80))
    sequences = ["TGCATTTTTTTCACATC" + "".join(i) + "GGTTACGGCTGTT" for i in inserts]
    measured = np.round(random.normal(0, 1, ROWS), 6)
    predictions = np.round(9 + 3 * measured + random.normal(0, 2, ROWS), 1)
    files = SuiteFiles(tmp_path / "suite", sequences, measured, predictions, *_design(random))
    files.write()
    return files


@pytest.fixture(scope="session")
def gzipped():
    """Replace a file by its gzipped twin, or compress it under the same name."""

    def compress(path, name=None):
        data = path.read_bytes()
        path.unlink()
        target = path.with_name(name or path.name)
        target.write_bytes(gzip.compress(data))
        return target

    return compress
