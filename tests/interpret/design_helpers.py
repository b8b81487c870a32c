import numpy as np

from dream_keras.data import alphabet
from dream_keras.interpret.constraints import Checker, Constraints, forbidden_sites
from dream_keras.interpret.design_search import Search
from dream_keras.interpret.goal import Goal
from dream_keras.interpret.gradients import one_hot
from dream_keras.interpret.predictor import Predictor
from dream_keras.interpret.starts import make_starts


def linear(weights, tasks=("expression",)):
    """Return a predictor of additive effects, (length, 4) or (tasks, length, 4), with gradients."""
    weights = np.atleast_3d(weights).reshape(-1, *np.shape(weights)[-2:])

    def predict(sequences):
        return np.einsum("rlb,tlb->rt", one_hot(sequences), weights)

    def gradients(bases, of_tasks):
        of_bases = np.tensordot(of_tasks, weights, 1)
        values = (bases * of_bases).sum(axis=(1, 2), dtype=np.float64)
        return values, np.broadcast_to(of_bases, bases.shape)

    return Predictor(predict, tasks, gradients=gradients)


def random_sequences(number, length, seed=0):
    tokens = np.random.default_rng(seed).integers(0, 4, (number, length), np.uint8)
    return {f"s{row}": text for row, text in enumerate(alphabet.decode_rows(tokens))}


def search_of(predictors, sequences, goal=None, seed=0, forbid=None, flanks=("", ""), **limits):
    """Return a search; some settings are those of starts, the rest are constraints."""
    starts = make_starts(
        sequences,
        limits.pop("designs", None),
        limits.pop("kept", (0, 0)),
        limits.pop("protect", None),
    )
    sites = forbidden_sites(forbid) if forbid else ()
    checker = Checker(Constraints(sites=sites, **limits), starts, flanks)
    return Search(starts, checker, goal or Goal("max"), predictors, seed)


def texts(search):
    return search.starts.texts(search.tokens)
