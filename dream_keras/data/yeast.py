"""The yeast GPRA experiment: its reporter plasmid around the insert, and its sorting bins.

Source of each constant: the challenge's data description (adapters, bins) and plasmid (flanks).
"""

BINS = 18
"""Fluorescence bins of the sorting experiment; labels are mean bins, 0 to 17."""
BIN_RANGE = (0.0, BINS - 1.0)
"""Labels that the sorting bins can express."""

LEFT_ADAPTER = "TGCATTTTTTTCACATC"
"""17 bp in front of the random insert, part of every sequence in the official files."""
RIGHT_ADAPTER = "GGTTACGGCTGTT"
"""13 bp behind the random insert, part of every sequence in the official files."""
INSERT_LENGTH = 80
"""Designed length of the random insert in bp; real inserts run from 48 to 112."""

LEFT_FLANK = (
    "TTCCAGTTTGGAACAAGAGTCCACTATTAAAGAACGTGGACTCCAACGTCAAAGGGCGAAAAACCGTCTATCAGG"
    "GCGATGGCCCACTACGTGAACCATCACCCTAATCAAGTGCTAGCAGGAATGATGCAAAAGGTTCCCGATTCGAAC"
)
"""The 150 vector bases 5' of the left adapter; the published BHI processor knows the last 37."""
RIGHT_FLANK = "TCTTAATTAAAAAAAGATAGAAAACATTAGGAGTGTAACACAAGACTTTCGGATCCTGAGCAGGCAAGATAAACGA"
"""The 76 vector bases 3' of the right adapter, as in the published BHI processor."""
PLASMID_LENGTH = 8294
"""Length of the whole reporter plasmid in bp, insert included."""
INSERT_START = 3648
"""Where the insert starts in the plasmid, counted from 0."""
