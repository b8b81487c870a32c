"""Choice of the next trial: keras-tuner's oracles on the search space.

Keras-tuner knows choices and ranges with conditions, and nothing else of a space. Nothing is kept
on disk by an oracle: the journal is, and a resumed search replays it to a new oracle.
"""

import contextlib

import keras_tuner
import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.search.plan import Plan
from dream_keras.search.space import Answers, Choose, Space

DRAWS = 1_000
"""Random answers tried before the space counts as exhausted: of 81 orders the last one is missed
once in 250,000 times."""


def make_oracle(plan: Plan) -> keras_tuner.Oracle:
    """Return a keras-tuner oracle for a plan.

    Raises:
        UserError: If the tuner needs a library that is not installed.
    """
    settings = plan.settings
    arguments: dict[str, object] = {
        "objective": keras_tuner.Objective(settings.objective, "max"),
        "hyperparameters": hyperparameters(plan.space),
        # A seed of 0 would be replaced by a random one.
        "seed": settings.seed + 1,
        # A failed trial is a result; the search stops at its own limits only.
        "max_consecutive_failed_trials": None,
    }
    try:
        if settings.tuner == "hyperband":
            oracle: _Oracle = _Hyperband(max_epochs=plan.terms.epochs, **arguments)
        elif settings.tuner == "bayesian":
            oracle = _Bayesian(max_trials=None, **arguments)
        else:
            oracle = {"grid": _Grid, "random": _Random}[settings.tuner](**arguments)
    except ImportError as error:
        raise UserError(f"the {settings.tuner} tuner: {' '.join(str(error).split())}") from None
    oracle.space = plan.space
    oracle.verbose = 0
    return oracle


def hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    """Return a space as keras-tuner's hyperparameters: labels of choices, and numbers."""
    found = keras_tuner.HyperParameters()
    for question in space.questions:
        with contextlib.ExitStack() as scopes:
            for name, labels in question.conditions:
                scopes.enter_context(found.conditional_scope(name, list(labels)))
            if isinstance(question, Choose):
                found.Choice(question.name, list(question.options))
                continue
            kind = found.Int if question.whole else found.Float
            sampling = "log" if question.log else "linear"
            kind(question.name, question.low, question.high, sampling=sampling)
    return found


class _Oracle(keras_tuner.Oracle):
    """Base of the oracles: they write nothing."""

    space: Space
    replayed: Answers | None = None
    """Answers of the trial being replayed, when a search is resumed."""

    def save(self) -> None:
        """Keep nothing; see the module."""

    def _save_trial(self, trial: "keras_tuner.engine.trial.Trial") -> None:
        """Keep nothing; see the module."""

    def unseen(self, seed: int) -> dict[str, object]:
        """Return an order at random that no trial has had, or the end of the search."""
        random = np.random.default_rng([self.seed, seed])
        for _ in range(DRAWS):
            answers = self.space.draw(random)
            if not self.seen(answers):
                return {"status": "RUNNING", "values": answers}
        return {"status": "STOPPED", "values": None}

    def seen(self, answers: Answers) -> bool:
        """Return whether a trial has had these answers."""
        return any(trial.hyperparameters.values == answers for trial in self.trials.values())


class _Grid(_Oracle):
    """Every order once, in the space's order. Keras-tuner's own grid cannot be resumed."""

    def populate_space(self, trial_id: str) -> dict[str, object]:
        """Return the next order."""
        if not hasattr(self, "orders"):
            self.orders = self.space.orders()
        answers = next(self.orders, None)
        return {"status": "STOPPED" if answers is None else "RUNNING", "values": answers}


class _Random(_Oracle):
    """Every order at most once, at random."""

    def populate_space(self, trial_id: str) -> dict[str, object]:
        """Return an order at random."""
        return self.unseen(len(self.trials))


class _Bayesian(_Oracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """Gaussian process; repeated proposals are replaced."""

    def populate_space(self, trial_id: str) -> dict[str, object]:
        """Return the proposal, or a random order if that has been tried."""
        import sklearn
        import threadpoolctl

        if self.replayed is not None:
            return {"status": "RUNNING", "values": self.replayed}
        # Thousands of predictions on tiny matrices: threads and checks would take most of the time.
        with threadpoolctl.threadpool_limits(1), sklearn.config_context(assume_finite=True):
            response = super().populate_space(trial_id)
        answers = response.get("values")
        if answers is None or self.seen(answers):
            return self.unseen(len(self.trials))
        return response


class _Hyperband(_Oracle, keras_tuner.oracles.HyperbandOracle):
    """Successive halving over epochs."""
