"""A tiny genome with counts and regions, written as the files that people have."""

import json

import numpy as np

from dream_keras.data.tracks import write_track

LENGTHS = {"chr1": 500, "chr2": 300, "chr3": 260}
FOLD = {"train": ["chr1"], "valid": ["chr2"], "test": ["chr3"]}


def narrow_peaks(path, rows):
    """Write regions (chromosome, centre), the summit away from the start."""
    lines = (f"{c}\t{max(at - 7, 0)}\t{at + 9}\t.\t0\t.\t0\t0\t0\t{min(at, 7)}\n" for c, at in rows)
    path.write_text("".join(lines))


def write_genome(folder, seed=0, peaks=None, nonpeaks=None):
    """Write the files; return the regions file, the genome's letters and the counts' sum."""
    random = np.random.default_rng(seed)
    letters = {c: "".join(random.choice(list("ACGTacgtN"), n)) for c, n in LENGTHS.items()}
    with (folder / "genome.fa").open("w") as file:
        for chrom, text in letters.items():
            file.write(f">{chrom} made up\n")
            file.writelines(f"{text[at : at + 60]}\n" for at in range(0, len(text), 60))
    counts = {c: np.zeros(n, int) for c, n in LENGTHS.items()}
    for number in (1, 2):
        track = {c: random.poisson(random.uniform(0, 2, n)) for c, n in LENGTHS.items()}
        write_track(folder / f"counts{number}.bw", LENGTHS, track.get)
        counts = {c: counts[c] + track[c] for c in LENGTHS}

    def drawn(per_chrom):
        return [(c, int(at)) for c, n in LENGTHS.items() for at in random.integers(0, n, per_chrom)]

    narrow_peaks(folder / "peaks.narrowPeak", drawn(40) if peaks is None else peaks)
    narrow_peaks(folder / "nonpeaks.narrowPeak", drawn(60) if nonpeaks is None else nonpeaks)
    (folder / "fold_0.json").write_text(json.dumps(FOLD))
    (folder / "regions.yaml").write_text(
        "genome: genome.fa\ncounts: [counts1.bw, counts2.bw]\npeaks: peaks.narrowPeak\n"
        "nonpeaks: nonpeaks.narrowPeak\nfolds: fold_0.json\n"
    )
    return folder / "regions.yaml", letters, counts
