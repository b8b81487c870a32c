"""The measure against the simulator's truth, with a predictor that knows it."""

from benchmarks import truth
from dream_keras.interpret.planted import plant_sites, simulator
from dream_keras.interpret.predictor import Predictor


def test_half_of_the_truth_has_half_its_slope():
    half = Predictor(lambda sequences: simulator()(sequences) / 2)
    found = truth.single_changes(half, plant_sites(5, 0))
    assert list(found) == ["in planted sites", "elsewhere"]
    for each in found.values():
        assert len(each.true) == 50
        assert each.row("x") == "| x | 50 | 1.000 [1.000, 1.000] | 1.000 | 100% | 0.50 |"
    # Changes of sites do more.
    spread = [each.true.std() for each in found.values()]
    assert spread[0] > 2 * spread[1]
