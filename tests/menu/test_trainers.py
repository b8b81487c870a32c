"""The teams' trainers: their rates at chosen steps, from closed forms."""

import math

import pytest

from dream_keras import menu
from dream_keras.common.errors import UserError


def rate(name, step, total, **options):
    """Return the learning rate at ``step``, counted from 0, of a run of ``total`` steps."""
    optimizer = menu.get("trainer", name).build(**options).optimizer(total)
    return float(optimizer._learning_rate(step))


@pytest.mark.parametrize("step", [0, 1, 700, 1399])
def test_bhi_falls_along_half_a_cosine_to_0(step):
    want = 0.0015 * (1 + math.cos(math.pi * step / 1400)) / 2
    assert rate("bhi", step, 1400) == pytest.approx(want, rel=1e-4, abs=1e-10)
    assert rate("bhi", 1400, 1400) == pytest.approx(0, abs=1e-9)


def test_bhi_of_the_reference_hardly_falls():
    last = rate("bhi", 1399, 1400, batch_size=512, cosine_counts_rows=True)
    want = 0.0015 * (1 + math.cos(math.pi * 1399 / (1400 * 512))) / 2
    assert last == pytest.approx(want, rel=1e-6)
    assert last > 0.001499


@pytest.mark.parametrize("step", [1, 2, 5000, 12_500, 50_000, 250_000])
def test_unlockdna_rises_in_a_line_and_falls_with_the_root(step):
    want = 512**-0.5 * min(step**-0.5, step * 12_500**-1.5)
    assert rate("unlockdna", step - 1, 1) == pytest.approx(want, rel=1e-5)


def test_optimisers_are_the_teams():
    bhi = menu.get("trainer", "bhi").build().optimizer(10)
    assert (bhi.beta_1, bhi.beta_2, bhi.epsilon, bhi.decay) == (0.9, 0.999, 1e-8, 0.01)
    unlockdna = menu.get("trainer", "unlockdna").build().optimizer(10)
    assert (unlockdna.beta_1, unlockdna.beta_2, unlockdna.epsilon) == (0.9, 0.98, 1e-9)
    assert (unlockdna.clip_norm, unlockdna.clip_value, unlockdna.each_weight) == (1.0, 0.5, False)
    assert not unlockdna.weight_decay


@pytest.mark.parametrize("name", menu.names("trainer"))
def test_published_sizes(name):
    trainer = menu.get("trainer", name).build()
    assert (trainer.epochs, trainer.batch_size) == {
        "atac": (80, 64),
        "autosome": (80, 1024),
        "bhi": (15, 512),
        "bpnet": (50, 64),
        "deepstarr": (100, 128),
        "malinois": (200, 1076),
        "mpralegnet": (25, 1024),
        "mprann": (100, 128),
        "unlockdna": (20, 512),
        "vaishnav_transformer": (100, 1024),
    }[name]


@pytest.mark.parametrize(
    ("name", "learning_rate"),
    [("bpnet", 0.001), ("deepstarr", 0.002), ("mprann", 0.001), ("vaishnav_transformer", 0.001)],
)
def test_constant_rates(name, learning_rate):
    optimizer = menu.get("trainer", name).build().optimizer(10)
    assert float(optimizer.learning_rate) == pytest.approx(learning_rate)


def test_optimisers_of_the_baselines():
    legnet = menu.get("trainer", "mpralegnet").build().optimizer(100)
    assert (legnet.decay, legnet.global_clipnorm, legnet.beta_1) == (0.1, 1.0, 0.9)
    rates = [rate("mpralegnet", step, 100) for step in (0, 29, 99)]
    assert rates == pytest.approx([0.01 / 25, 0.01, 0.01 / 250_000])
    malinois = menu.get("trainer", "malinois").build().optimizer(10)
    assert (malinois.beta_1, malinois.beta_2) == (0.8661062881299633, 0.879223105336538)
    assert (malinois.l2, malinois.amsgrad) == (0.0003438210249762151, True)
    rates = [rate("malinois", step, 10) for step in (0, 2048, 4095, 4096)]
    highest = 0.0032658700881052086
    assert rates == pytest.approx([highest, highest / 2, 0, highest], rel=1e-5, abs=1e-8)
    vaishnav = menu.get("trainer", "vaishnav_transformer").build().optimizer(10)
    assert (vaishnav.l2, vaishnav.rho, vaishnav.epsilon) == (0.0001, 0.9, 1e-10)


def test_no_warm_up_is_refused():
    with pytest.raises(UserError, match="warmup_steps=0"):
        menu.get("trainer", "unlockdna").build(warmup_steps=0)
