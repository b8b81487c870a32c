"""TPU chips, topologies and the roofline, in closed form."""

import math

import pytest

from dream_keras.common.errors import UserError
from dream_keras.preflight.chips import CHIPS, GIB, Chip, Topology
from dream_keras.preflight.roofline import Roofline, largest_batch

ROUND = Chip(10 * GIB, 100e12, 1e12, 2, "round:2x2", "")


@pytest.mark.parametrize("kind", CHIPS)
def test_each_chip_names_a_topology_of_its_own(kind):
    topology = Topology.parse(CHIPS[kind].example)
    assert topology.kind == kind
    assert topology.chips == math.prod(topology.shape) == 4
    assert str(topology) == CHIPS[kind].example
    assert CHIPS[kind].page.startswith("https://cloud.google.com/tpu/docs/")


@pytest.mark.parametrize(
    ("kind", "gibibytes", "teraflops", "gigabytes"),
    [("v4", 32, 275, 1200), ("v5e", 16, 197, 819), ("v5p", 95, 459, 2765), ("v6e", 32, 918, 1638)],
)
def test_public_figures(kind, gibibytes, teraflops, gigabytes):
    chip = CHIPS[kind]
    assert chip.memory == gibibytes * 2**30
    assert chip.flops == teraflops * 1e12
    assert chip.bandwidth == gigabytes * 1e9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("v5e", "expected CHIP:GRID"),
        ("v5e:2", "expected CHIP:GRID"),
        ("v5e:0x2", "expected CHIP:GRID"),
        ("v5e:2x2x", "expected CHIP:GRID"),
        ("v5x:2x2", 'Did you mean "v5'),
        ("v5e:2x2x1", "2 dimensions"),
        ("v5p:2x2", "3 dimensions"),
    ],
)
def test_what_is_no_topology_is_refused(text, said):
    with pytest.raises(UserError, match=said):
        Topology.parse(text)


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "bound"),
    [(2e12, 1e9, 0.02, "arithmetic"), (1e12, 5e10, 0.05, "memory"), (0, 0, 0, "arithmetic")],
)
def test_roofline(flops, moved, seconds, bound):
    roofline = Roofline(flops, moved, ROUND)
    assert roofline.seconds == pytest.approx(seconds)
    assert roofline.bound == bound


def test_twice_the_work_takes_twice_the_time():
    one, two = (Roofline(n * 3e12, n * 2e9, ROUND).seconds for n in (1, 2))
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize(
    ("fixed", "proportional", "want"),
    [
        (0, 1 * GIB, 1000),  # 100 rows take 1 of 10
        (5 * GIB, 1 * GIB, 500),
        (9.99 * GIB, 1 * GIB, 0),
        (10 * GIB, 1 * GIB, 0),
        (0, 3 * GIB, 332),  # 333.3, to a multiple of 4
    ],
)
def test_largest_batch(fixed, proportional, want):
    assert largest_batch(100, fixed, proportional, 10 * GIB, 4) == want
