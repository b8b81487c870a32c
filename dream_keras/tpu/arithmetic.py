"""Operations inside the loops of a program that JAX has traced.

They are counted before the program is compiled, where matrix products are still matrix products
and a loop says how many turns it has; the compiler's own account counts a loop's body once.
"""

import math
from collections.abc import Iterator
from typing import Any


def loop_flops(jaxpr: Any) -> tuple[float, float, bool]:
    """Return the operations of matrix products and convolutions inside a program's loops.

    Args:
        jaxpr: What ``jax.make_jaxpr`` or a traced function gives, or the inside of it.

    Returns:
        Those of each loop's body counted once, those of all turns, and whether there is a loop
        whose turns are not known (its body is counted once).
    """
    inside, all_turns, unknown = 0.0, 0.0, False
    for equation in _equations(jaxpr):
        name = equation.primitive.name
        for part in _parts(equation):
            if name in ("scan", "while"):
                turns = equation.params.get("length", 1)
                once, every = _flops(part)
                inside += once
                all_turns += turns * every
                unknown |= name == "while" and once > 0
            else:
                once, every, more = loop_flops(part)
                inside, all_turns, unknown = inside + once, all_turns + every, unknown | more
    return inside, all_turns, unknown


def _flops(jaxpr: Any) -> tuple[float, float]:
    """Return the operations of a program with inner loops counted once, and with all turns."""
    once = every = 0.0
    for equation in _equations(jaxpr):
        own = _own_flops(equation)
        once, every = once + own, every + own
        turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for part in _parts(equation):
            inner_once, inner_every = _flops(part)
            once, every = once + inner_once, every + turns * inner_every
    return once, every


def _own_flops(equation: Any) -> float:
    """Return 2 per multiplication and addition of a matrix product or convolution, else 0."""
    name = equation.primitive.name
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2.0 * equation.outvars[0].aval.size * math.prod(left[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * equation.outvars[0].aval.size * kernel.size / features
    return 0.0


def _equations(jaxpr: Any) -> list[Any]:
    return getattr(jaxpr, "jaxpr", jaxpr).eqns


def _parts(equation: Any) -> Iterator[Any]:
    """Yield the programs that an equation runs."""
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else [value]:
            if hasattr(getattr(part, "jaxpr", part), "eqns"):
                yield part
