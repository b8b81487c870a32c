"""Turns of loops, what a turn moves and computes: by hand, and beside XLA's own count."""

import numpy as np
import pytest

from dream_keras.preflight.loops import (
    Program,
    convolution_flops,
    dot_flops,
    memory_bytes,
    operations,
)

# Two loops, one inside the other; the outer one's counter is compared with 150, the inner one's
# turns are written down by the compiler. Layouts with S(1) are memory on the chip.
NESTED = """\
HloModule jit_step, is_scheduled=true

%inner_body (p: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %p = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %x = f32[8,128]{1,0:T(8,128)} get-tuple-element(%p), index=1
  %y = f32[8,128]{1,0:T(8,128)} fusion(%x), kind=kLoop, calls=%fused
  ROOT %t = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) tuple(%i, %y)
}

%inner_condition (p: (s32[], f32[8,128])) -> pred[] {
  %p.1 = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) parameter(0)
  ROOT %opaque = pred[]{:T(512)} custom-call(%p.1), custom_call_target="Whatever"
}

%outer_body (q: (s32[], bf16[150,8,128], f32[8,128])) -> (s32[], bf16[150,8,128], f32[8,128]) {
  %q = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) parameter(0)
  %j = s32[]{:T(128)S(6)} get-tuple-element(%q), index=0
  %rows = bf16[150,8,128]{2,1,0:T(8,128)} get-tuple-element(%q), index=1
  %h = f32[8,128]{1,0:T(8,128)S(1)} get-tuple-element(%q), index=2
  %g = f32[8,128]{1,0:T(8,128)S(1)} fusion(%rows, %j, /*index=2*/%h), kind=kOutput, calls=%fused.1
  %pair = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) tuple(%j, %g)
  %while.2 = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) while(%pair), condition=%inner_condition, \
body=%inner_body, backend_config={"known_trip_count":{"n":"3"}}
  %one = s32[]{:T(128)S(6)} constant(1)
  %next = s32[]{:T(128)S(6)} add(%j, %one)
  ROOT %u = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) \
tuple(%next, %rows, %g)
}

%outer_condition (r: (s32[], bf16[150,8,128], f32[8,128])) -> pred[] {
  %limit = s32[]{:T(128)} constant(150)
  %r = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) parameter(0)
  %k = s32[]{:T(128)} get-tuple-element(%r), index=0
  ROOT %lt = pred[]{:T(512)} compare(%k, %limit), direction=LT, metadata={op_name="a (b)"}
}

ENTRY %main (a: bf16[150,8,128]) -> f32[8,128] {
  %a = bf16[150,8,128]{2,1,0:T(8,128)} parameter(0)
  %zero = s32[]{:T(128)} constant(0)
  %start = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) \
tuple(%zero, %a)
  %while.1 = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) \
while(%start), condition=%outer_condition, body=%outer_body, metadata={op_name="jit(f)/while"}
  ROOT %end = f32[8,128]{1,0:T(8,128)} get-tuple-element(%while.1), index=2
}
"""


def test_turns_are_read_and_multiplied():
    outer, inner = Program.read(NESTED).loops()
    assert (outer.name, outer.trip_count, outer.times) == ("while.1", 150, 1)
    assert (inner.name, inner.trip_count, inner.times) == ("while.2", 3, 150)


def test_a_turn_moves_what_lies_in_main_memory_and_its_own_entry_of_a_stack():
    outer, inner = Program.read(NESTED).loops()
    assert outer.bytes_per_trip == 8 * 128 * 2  # one of the 150 entries; the rest is on the chip
    assert inner.bytes_per_trip == 2 * 8 * 128 * 4  # read and written
    assert outer.bytes_moved == 150 * 8 * 128 * 2
    assert inner.bytes_moved == 450 * 2 * 8 * 128 * 4
    assert Program.read(NESTED).bytes_moved() == outer.bytes_moved + inner.bytes_moved


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("direction=LT", "direction=NE"),
        ("constant(150)", "constant({...})"),
        ("compare(%k, %limit)", "compare(%limit, %limit)"),
        ("ROOT %lt = pred[]{:T(512)} compare(", "ROOT %lt = pred[]{:T(512)} and("),
    ],
)
def test_a_condition_that_cannot_be_read_leaves_the_turns_unknown(old, new):
    assert old in NESTED
    outer, inner = Program.read(NESTED.replace(old, new)).loops()
    assert outer.trip_count is None
    assert outer.bytes_moved == outer.bytes_per_trip
    assert inner.times == 1


def test_a_condition_may_be_a_fusion():
    fused = "%fused.9 (y: s32[], x: s32[]) -> pred[] {\n"
    fused += "  %y = s32[] parameter(0)\n  %x = s32[] parameter(1)\n"
    fused += "  ROOT %c = pred[] compare(%x, %y), direction=LT\n}\n"
    call = "ROOT %lt = pred[] fusion(%limit, %k), kind=kLoop, calls=%fused.9"
    text = NESTED.replace(
        'ROOT %lt = pred[]{:T(512)} compare(%k, %limit), direction=LT, metadata={op_name="a (b)"}',
        call,
    )
    assert Program.read(fused + text).loops()[0].trip_count == 150


# Two loops, one after the other, as TensorFlow writes an LSTM's forward and backward pass: the
# second runs as often as the first has counted.
FORTH_AND_BACK = """\
%body (s: (s32[], s32[])) -> (s32[], s32[]) {
  %s = (s32[], s32[]) parameter(0)
  %count = s32[] get-tuple-element(%s), index=0
  %kept = s32[] get-tuple-element(%s), index=1
  %one = s32[] constant(1)
  %more = s32[] add(%count, %one)
  ROOT %next = (s32[], s32[]) tuple(%more, %kept)
}

%up_to_seven (s: (s32[], s32[])) -> pred[] {
  %seven = s32[] constant(7)
  %s.1 = (s32[], s32[]) parameter(0)
  %count.1 = s32[] get-tuple-element(%s.1), index=0
  ROOT %less = pred[] compare(%count.1, %seven), direction=LT
}

%up_to_the_limit (s: (s32[], s32[])) -> pred[] {
  %s.2 = (s32[], s32[]) parameter(0)
  %count.2 = s32[] get-tuple-element(%s.2), index=0
  %limit.2 = s32[] get-tuple-element(%s.2), index=1
  ROOT %less.2 = pred[] compare(%count.2, %limit.2), direction=LT
}

ENTRY %main (a: s32[]) -> s32[] {
  %a = s32[] parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], s32[]) tuple(%zero, %a)
  %forth = (s32[], s32[]) while(%start), condition=%up_to_seven, body=%body
  %turns = s32[] get-tuple-element(%forth), index=0
  %turns.1 = s32[] copy(%turns)
  %start.1 = (s32[], s32[]) tuple(%zero, %turns.1)
  %back = (s32[], s32[]) while(%start.1), condition=%up_to_the_limit, body=%body
  ROOT %end = s32[] get-tuple-element(%back), index=0
}
"""


@pytest.mark.parametrize(
    ("old", "new", "turns"),
    [
        ("", "", [7, 7]),
        ("tuple(%zero, %turns.1)", "tuple(%zero, %a)", [7, None]),
        ("get-tuple-element(%forth), index=0", "get-tuple-element(%forth), index=1", [7, None]),
        ("%seven = s32[] constant(7)", "%seven = s32[] parameter(0)", [None, None]),
        ("tuple(%more, %kept)", "tuple(%more, %more)", [7, None]),
        ("tuple(%more, %kept)", "tuple(%count, %kept)", [None, None]),
        ("%one = s32[] constant(1)", "%one = s32[] constant(2)", [None, None]),
        ("%zero = s32[] constant(0)", "%zero = s32[] constant(5)", [None, None]),
        ("compare(%count.1, %seven)", "compare(%seven, %count.1)", [None, None]),
        ("(%start), condition=%up_to_seven", "(%forth.0), condition=%up_to_seven", [None, None]),
    ],
)
def test_a_limit_may_be_another_loops_turns(old, new, turns):
    program = Program.read(FORTH_AND_BACK.replace(old, new))
    assert [loop.trip_count for loop in program.loops()] == turns
    assert program.is_lower_bound == (None in turns)


def test_a_choice_between_branches_makes_the_count_a_lower_bound():
    copy = "%turns.1 = s32[] copy(%turns)"
    choice = "%turns.1 = s32[] conditional(%a, %zero, %zero), branch_computations={%b, %b}"
    assert Program.read(FORTH_AND_BACK.replace(copy, choice)).is_lower_bound


def test_what_a_called_computation_moves_is_counted():
    copy = "  %turns.1 = s32[] copy(%turns)\n"
    body = "%called (x: f32[8]) -> f32[8] {\n  %x = f32[8] parameter(0)\n"
    body += "  ROOT %y = f32[8] negate(%x)\n}\n\n"
    call = "  %w = f32[8] parameter(1)\n  %v = f32[8] call(%w), to_apply=%called\n"
    plain, calling = (
        Program.read(body + FORTH_AND_BACK.replace(copy, text + copy)).bytes_moved()
        for text in ("", call)
    )
    assert calling - plain == 2 * 8 * 4


def test_a_program_without_loops_has_none():
    assert Program.read(NESTED.replace("while(", "fusion(")).loops() == []


def test_what_is_read_and_written_in_two_halves_is_counted_once():
    copy = (
        "  %s = (f32[8,128]{1,0:S(1)}, f32[8,128]{1,0}, u32[]) copy-start(%x)\n"
        "  %d = f32[8,128]{1,0:S(1)} copy-done(%s)\n"
    )
    line = "  %y = f32[8,128]{1,0:T(8,128)} fusion"
    inner = Program.read(NESTED.replace(line, copy + line)).loops()[1]
    assert inner.bytes_per_trip == 3 * 8 * 128 * 4


def test_a_slice_is_fetched_without_the_rest():
    fetch = (
        "  %s = ((f32[8,128]{1,0}), f32[2,128]{1,0:S(1)}, s32[]) slice-start(%x), slice={[0:2]}\n"
        "  %d = f32[2,128]{1,0:S(1)} slice-done(%s)\n"
    )
    line = "  %y = f32[8,128]{1,0:T(8,128)} fusion"
    inner = Program.read(NESTED.replace(line, fetch + line)).loops()[1]
    assert inner.bytes_per_trip == (2 * 8 + 2) * 128 * 4


@pytest.mark.parametrize(
    ("shape", "turns", "want"),
    [
        ("f32[8,128]{1,0:T(8,128)}", None, 4096),
        ("f32[8,128]", None, 4096),
        ("bf16[8,128]{1,0:T(8,128)(2,1)}", None, 2048),
        ("bf16[8,128]{1,0:T(8,128)(2,1)S(1)}", None, 0),
        ("(f32[2]{0}, u8[3]{0}, pred[5]{0})", None, 16),
        ("f32[]{:T(128)}", None, 4),
        ("f32[150,8]{1,0}", 150, 32),
        ("f32[8,150]{1,0}", 150, 4800),
        ("s4[10]{0}", None, 5),
        ("token[]", None, 0),
    ],
)
def test_bytes_of_a_type(shape, turns, want):
    assert memory_bytes(shape, turns) == want


def compiled(function, *shapes):
    """Compile for this machine's CPU; return the program, read, and XLA's count of operations."""
    jax = pytest.importorskip("jax")
    made = jax.jit(function).lower(*(np.zeros(shape, "float32") for shape in shapes)).compile()
    return Program.read(made.as_text()), operations(made)


def convolution(numbers, **options):
    import jax

    def convolve(rows, kernel):
        options.setdefault("window_strides", (1,) * (rows.ndim - 2))
        options.setdefault("padding", "SAME")
        return jax.lax.conv_general_dilated(rows, kernel, dimension_numbers=numbers, **options)

    return convolve


@pytest.mark.parametrize("seed", range(12))
def test_operations_of_a_convolution_are_xlas(seed):
    pytest.importorskip("jax")
    random = np.random.default_rng(seed)
    sides = 1 + seed % 2
    groups, channels, filters = random.integers(1, 4, 3)
    options = {
        name: tuple(int(n) for n in random.integers(1, 4, sides))
        for name in ("window_strides", "lhs_dilation", "rhs_dilation")
    }
    options["padding"] = [tuple(int(n) for n in random.integers(0, 6, 2)) for _ in range(sides)]
    numbers = ("NWC", "WIO", "NWC") if sides == 1 else ("NCHW", "HWIO", "NHWC")
    spatial = [int(n) for n in random.integers(9, 15, sides)]
    wide = int(groups * channels)
    rows = (3, *spatial, wide) if sides == 1 else (3, wide, *spatial)
    kernel = (*(int(n) for n in random.integers(1, 5, sides)), channels, int(groups * filters))
    function = convolution(numbers, feature_group_count=int(groups), **options)
    program, theirs = compiled(function, rows, kernel)
    found = [
        convolution_flops(instruction, body)
        for body in program.computations.values()
        for instruction in body.values()
        if instruction.operation == "convolution"
    ]
    assert found == [theirs]


def test_operations_of_a_matrix_product_are_xlas():
    jax = pytest.importorskip("jax")
    program, theirs = compiled(
        lambda a, b: jax.numpy.einsum("nab,nbc->nac", a, b), (4, 5, 6), (4, 6, 7)
    )
    (found,) = (
        dot_flops(i, body)
        for body in program.computations.values()
        for i in body.values()
        if i.operation == "dot"
    )
    assert found == theirs == 2 * 4 * 5 * 6 * 7


def test_a_loops_other_turns_are_added():
    jax = pytest.importorskip("jax")
    convolve = convolution(("NWC", "WIO", "NWC"))

    def step(rows, kernel):
        def inner(state, _):
            return jax.numpy.tanh(convolve(state, kernel)), None

        def outer(state, _):
            return jax.lax.scan(inner, convolve(state, kernel), None, length=3)[0], None

        return convolve(jax.lax.scan(outer, rows, None, length=10)[0], kernel)

    program, _ = compiled(step, (2, 16, 6), (3, 6, 6))
    each = 2 * 2 * (3 * 16 - 2) * 6 * 6  # two taps of the ends are on padding
    assert [(loop.total_trips, loop.flops_per_trip) for loop in program.loops()] == [
        (10, each),
        (30, each),
    ]
    assert program.repeated_flops() == (9 + 29) * each
