import keras
import pytest

from dream_keras import menu
from dream_keras.nn.schedules import OneCycle

TOTAL = 1000


def one_cycle():
    return OneCycle(0.0002, 0.005, 2e-8, TOTAL)


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (0, 0.0002),
        (299, 0.005),
        (149.5, 0.0026),
        ((299 + 999) / 2, (0.005 + 2e-8) / 2),
        (999, 2e-8),
        (5000, 2e-8),
    ],
    ids=["start", "peak", "half way up", "half way down", "end", "after the end"],
)
def test_chosen_steps(step, value):
    assert float(one_cycle()(step)) == pytest.approx(value, rel=1e-5)


def test_equal_to_torch():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.005)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.005, total_steps=50, three_phase=False
    )
    ours = menu.get("trainer", "autosome").build().optimizer(50)
    for _ in range(50):
        assert float(ours.learning_rate) == pytest.approx(theirs.get_last_lr()[0], rel=1e-5)
        assert float(ours.current_beta_1()) == pytest.approx(
            optimizer.param_groups[0]["betas"][0], rel=1e-6
        )
        optimizer.step()
        theirs.step() if theirs.last_epoch < 49 else None
        ours.iterations.assign(ours.iterations + 1)


def test_restarts_equal_to_torch():
    torch = pytest.importorskip("torch")
    trainer = menu.get("trainer", "malinois").build(restart_steps=8)
    rate = trainer.learning_rate
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=rate)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 8)
    ours = trainer.optimizer(50)
    for _ in range(20):
        assert float(ours.learning_rate) == pytest.approx(theirs.get_last_lr()[0], rel=1e-5)
        optimizer.step()
        theirs.step()
        ours.iterations.assign(ours.iterations + 1)


@pytest.mark.parametrize("total", [1, 2, 3, 10])
def test_short_runs_stay_within_bounds(total):
    schedule = OneCycle(0.1, 1.0, 0.01, total)
    values = [float(schedule(step)) for step in range(total + 1)]
    assert all(0.01 - 1e-6 <= value <= 1 + 1e-6 for value in values)


def test_config_round_trip():
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one_cycle()))
    assert float(again(123)) == float(one_cycle()(123))
