"""The noise-free expression of a promoter, which the simulated experiment measures with noise.

Formulas and their meaning are in docs/simulator.md.
"""

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.simulate import scan
from dream_keras.simulate.motifs import MOTIF_NUMBER, MOTIFS

Floats = npt.NDArray[np.float64]

LOWEST, HIGHEST = 6.5, 16.0
"""Expression, in sorting bins, of a silent and of a fully active promoter: the measured test
sequences of the challenge span -1.40..1.66, about this much on the scale of the bins."""
BASE_LOGIT = -1.5
"""Logit of the active fraction of a closed promoter without any site."""
BASE_OPENING = -1.5
"""Logit of chromatin openness without any site, at equal base composition."""
GC_CLOSING = 4.0
"""Logits of openness lost per unit of GC fraction (GC-rich DNA favours nucleosomes)."""
OPEN_EFFECT = 2.0
"""Logits of expression that open chromatin gives without any activator."""
TATA_BOOST = 0.8
"""Relative gain of the activators' effect through a fully occupied TATA box."""

_HILL = np.array([motif.hill for motif in MOTIFS])
_OPENING = np.array([motif.opening for motif in MOTIFS])
_ACTIVATION = np.array([max(motif.effect, 0.0) for motif in MOTIFS])
_REPRESSION = np.array([max(-motif.effect, 0.0) for motif in MOTIFS])
_TATA = MOTIF_NUMBER["TATA"]


def occupancy(tokens: Tokens) -> Floats:
    """Fraction of time that each factor is bound anywhere, 0..1, shape (rows, motifs).

    Examples:
        >>> tokens = alphabet.encode("GCTA" * 12 + "ATGACTCAT" + "GCTA" * 12)[None]
        >>> occupancy(tokens)[0, MOTIF_NUMBER["Gcn4"]].round(2).item()
        0.99
    """
    return _occupancy(scan.doses(tokens))


def noise_free_expression(tokens: Tokens) -> Floats:
    """Expression without any noise, in sorting bins (0..17), shape (rows,).

    Args:
        tokens: Sequences with their adapters, shape (rows, length), 5' to 3', aligned on the
            right; fill shorter ones with N on the left.

    Examples:
        >>> around, site = "GCTA" * 12, "ATGACTCAT"
        >>> rows = (around + site + around, around + "GGGGGGGGG" + around)
        >>> tokens = np.stack([alphabet.encode(row) for row in rows])
        >>> noise_free_expression(tokens).round(2).tolist()
        [8.38, 6.97]
    """
    return _expression(_occupancy(scan.doses(tokens)), _gc(tokens))


def expression_and_sites(tokens: Tokens) -> tuple[Floats, npt.NDArray[np.void]]:
    """As ``noise_free_expression``, and the motif sites found on the way (dtype ``scan.SITE``)."""
    sites: list[npt.NDArray[np.void]] = [np.empty(0, scan.SITE)]
    doses = scan.doses(tokens, sites)
    return _expression(_occupancy(doses), _gc(tokens)), np.concatenate(sites)


def motif_sites(tokens: Tokens) -> npt.NDArray[np.void]:
    """Every window that binds a factor with at least ``scan.SITE_DOSE``, by row and position.

    Args:
        tokens: Sequences, shape (rows, length).

    Returns:
        Records of dtype ``scan.SITE``; ``position`` is the column of ``tokens``.

    Examples:
        >>> tokens = alphabet.encode("GCTA" * 12 + "ATGACTCAT" + "GCTA" * 12)[None]
        >>> sites = motif_sites(tokens)
        >>> [(MOTIFS[s["motif"]].name, int(s["position"]), int(s["strand"])) for s in sites]
        [('Gcn4', 48, 1), ('Gcn4', 48, -1)]
    """
    return expression_and_sites(tokens)[1]


def _occupancy(doses: Floats) -> Floats:
    powered = doses**_HILL
    return powered / (1 + powered)


def _gc(tokens: Tokens) -> Floats:
    """Fraction of G and C among the known bases, shape (rows,); one half if none is known."""
    gc = np.count_nonzero((tokens == alphabet.G) | (tokens == alphabet.C), axis=1)
    known = np.count_nonzero(tokens < alphabet.N, axis=1)
    return np.where(known > 0, gc / np.maximum(known, 1), 0.5)


def _expression(occupancy: Floats, gc: Floats) -> Floats:
    opening = _sigmoid(BASE_OPENING + occupancy @ _OPENING - GC_CLOSING * (gc - 0.5))
    activation = (occupancy @ _ACTIVATION) * (1 + TATA_BOOST * occupancy[:, _TATA])
    logit = BASE_LOGIT + opening * (OPEN_EFFECT + activation) - occupancy @ _REPRESSION
    return LOWEST + (HIGHEST - LOWEST) * _sigmoid(logit)


def _sigmoid(value: Floats) -> Floats:
    return 1 / (1 + np.exp(-value))
