"""The transcription-factor motifs of the simulated promoters.

Every matrix is derived here, by one rule, from a consensus sequence published in the paper named
beside it (IUPAC letters; a lower-case letter marks a column that binds less selectively). How
strongly each factor acts is this simulator's own choice, not a measurement: see docs/simulator.md.
"""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet

Floats = npt.NDArray[np.float64]

IUPAC = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT"},
    **{"K": "GT", "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}
"""Bases that each IUPAC letter allows."""
STRICT, LOOSE = 0.05, 0.16
"""Probability of each base that an upper-case (a lower-case) consensus letter does not allow: one
mismatch lowers the affinity of a one-base column 17-fold, or 3.3-fold in a loose column."""


@dataclass(frozen=True)
class Motif:
    """One DNA-binding factor: its motif and its effect.

    Attributes:
        name: Name of the factor or element.
        consensus: 8 to 16 IUPAC letters, 5' to 3' on the forward strand; lower case = loose.
        dose: Concentration in units of the dissociation constant of the consensus: a lone
            consensus site at the best position is occupied with odds ``dose ** hill``.
        effect: Logits of expression at full occupancy: positive activates, negative represses.
        opening: Logits of chromatin openness at full occupancy.
        reverse: Strength of a reverse-strand site relative to the same site on the forward one.
        centre: Best distance of the middle of a site from the 3' end of the sequence, in bp.
        spread: Standard deviation of the hump of position effect around ``centre``, in bp.
        hill: Hill coefficient: above 1, several sites of the factor bind cooperatively.
        source: Paper that gives the consensus.

    Examples:
        >>> motif = MOTIFS[MOTIF_NUMBER["TATA"]]
        >>> motif.consensus, motif.width
        ('TATAWAWR', 8)
        >>> motif.matrix[0].round(2).tolist()  # A, C, G, T in the first column, a T
        [0.05, 0.05, 0.05, 0.85]
    """

    name: str
    consensus: str
    dose: float
    effect: float
    opening: float
    reverse: float
    centre: float
    spread: float
    hill: float
    source: str

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.consensus)

    @functools.cached_property
    def matrix(self) -> Floats:
        """Probability of A, C, G, T in each column, shape (width, 4); each row sums to 1."""
        return matrix_of(self.consensus)

    def affinity_columns(self, strand: int) -> Floats:
        """Affinity of each base relative to the best base of its column, shape (width, 4).

        Args:
            strand: +1 for the motif as written, -1 for its reverse complement.
        """
        relative = self.matrix / self.matrix.max(axis=1, keepdims=True)
        return relative if strand > 0 else relative[::-1, ::-1]


def matrix_of(consensus: str) -> Floats:
    """Return the probability of A, C, G, T in each column of a consensus, (width, 4).

    Args:
        consensus: IUPAC letters; lower case = loose.

    Examples:
        >>> matrix_of("Ry").round(2).tolist()
        [[0.45, 0.05, 0.45, 0.05], [0.16, 0.34, 0.16, 0.34]]
    """
    columns = np.empty((len(consensus), 4))
    for column, letter in zip(columns, consensus, strict=True):
        other = LOOSE if letter.islower() else STRICT
        allowed = alphabet.encode(IUPAC[letter.upper()])
        column[:] = other
        column[allowed] = (1 - other * (4 - len(allowed))) / len(allowed)
    return columns


_MULTI = "review of ABF1, RAP1, REB1 and CPF1 (Cbf1), PMC6057378, table 1"
_RAP1 = "Graham & Chambers 1994, Nucleic Acids Res 22:124"
_RSC3 = "Badis et al. 2008, Mol Cell 32:878 (core CGCG)"
_GCN4 = "Sellers, Vincent & Struhl 1990, Mol Cell Biol 10:5077"
_MCM1 = "Wynne & Treisman 1992, Nucleic Acids Res 20:3297"
_HSF1 = "Bonner, Ballou & Fackenthal 1994, Mol Cell Biol 14:501 (nTTCnnGAAn)"
_TATA = "Basehoar, Zanton & Pugh 2004, Cell 116:699"
_POLY_DA = "Iyer & Struhl 1995, EMBO J 14:2570"
_MIG1 = "Nehlin & Ronne 1990, EMBO J 9:2891; its AT-rich flank: Lundin et al. 1994"
_UME6 = "Buckingham et al. 1990, PNAS 87:9406 (URS1)"
_ROX1 = "Lowry, Cerdan & Zitomer 1990, Mol Cell Biol 10:5921"
_MOT3 = "Grishin et al. 1998, Genetics 149:879"

MOTIFS: tuple[Motif, ...] = (
    # name, consensus, dose, effect, opening, reverse, centre, spread, hill, source
    Motif("Reb1", "YYACCCGG", 16, 1.9, 2.0, 0.9, 65, 25, 1, _MULTI),
    Motif("Rap1", "rtrCACCCAnncmcc", 60, 2.4, 1.2, 0.5, 70, 25, 1, _RAP1),
    Motif("Abf1", "RTCRYYYNNNACG", 14, 1.8, 1.6, 0.8, 65, 25, 1, _MULTI),
    Motif("Rsc3", "NNCGCGNN", 1, 0.5, 1.8, 1.0, 60, 35, 1, _RSC3),
    Motif("Gcn4", "aTGASTCAt", 16, 2.4, 0.0, 1.0, 55, 25, 1.5, _GCN4),
    Motif("Cbf1", "rTCACGTG", 12, 1.4, 1.4, 1.0, 60, 25, 1, _MULTI),
    Motif("Mcm1", "dCCYWWWNNRG", 4, 1.8, 0.4, 1.0, 60, 25, 1, _MCM1),
    Motif("Hsf1", "TTCNNGAA", 5, 2.2, 0.4, 1.0, 60, 30, 2, _HSF1),
    Motif("TATA", "TATAWAWR", 8, 0.8, 0.0, 0.25, 45, 20, 1, _TATA),
    Motif("poly-dA", "AAAAAAAA", 3, 0.4, 2.0, 0.7, 60, 40, 1, _POLY_DA),
    Motif("Mig1", "wwSYGGGG", 3, -2.0, 0.0, 0.9, 50, 35, 1, _MIG1),
    Motif("Ume6", "TAGCCGCCga", 20, -2.4, 0.0, 0.9, 55, 35, 1, _UME6),
    Motif("Rox1", "yyyATTGTTCtc", 20, -2.2, 0.0, 0.8, 50, 35, 1.5, _ROX1),
    Motif("Mot3", "NHAGGYAN", 1.5, -1.6, 0.0, 1.0, 45, 35, 1, _MOT3),
)
"""All factors of the simulated cell; a motif's number in the truth files is its place here."""

MOTIF_NUMBER = {motif.name: number for number, motif in enumerate(MOTIFS)}
"""Place of each motif in ``MOTIFS``."""
