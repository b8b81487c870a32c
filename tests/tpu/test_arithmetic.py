"""Operations of loops, in closed form."""

import pytest

from dream_keras.tpu.arithmetic import loop_flops

jax = pytest.importorskip("jax")


def test_operations_in_loops():
    jnp = jax.numpy

    def step(weights, rows):
        def turn(state, _):
            state = jnp.tanh(state @ weights)  # 2 * 4 * 8 * 8
            inner = jax.lax.scan(lambda s, _: (s @ weights, None), state, None, length=3)[0]
            return inner, None

        last = jax.lax.scan(turn, rows, None, length=10)[0]
        return (last @ weights).sum()  # not in a loop

    product = 2 * 4 * 8 * 8
    shapes = jnp.zeros((8, 8)), jnp.zeros((4, 8))
    program = jax.make_jaxpr(jax.jit(step))(*shapes)
    assert loop_flops(program) == (2 * product, 10 * (product + 3 * product), False)
    # The backward pass has a product for the rows and one for the weights beside each.
    program = jax.make_jaxpr(jax.grad(step))(*shapes)
    assert loop_flops(program) == (6 * product, 120 * product, False)


def test_operations_in_a_loop_of_unknown_turns():

    def step(rows):
        return jax.lax.while_loop(lambda r: r.sum() < 1, lambda r: r @ r, rows)

    program = jax.make_jaxpr(step)(jax.numpy.zeros((4, 4)))
    assert loop_flops(program) == (128, 128, True)


def test_operations_of_a_convolution():
    numbers = ("NWC", "WIO", "NWC")

    def step(rows, kernel):
        def turn(state, _):
            state = jax.lax.conv_general_dilated(
                state, kernel, (1,), "SAME", dimension_numbers=numbers
            )
            return state, None

        return jax.lax.scan(turn, rows, None, length=5)[0]

    program = jax.make_jaxpr(step)(jax.numpy.zeros((2, 16, 6)), jax.numpy.zeros((7, 6, 6)))
    each = 2 * (2 * 16 * 6) * (7 * 6)
    assert loop_flops(program) == (each, 5 * each, False)
