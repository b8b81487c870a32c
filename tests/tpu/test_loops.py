"""Turns of loops and what a turn moves, from small programs counted by hand."""

import pytest

from dream_keras.tpu.loops import Program, memory_bytes

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
  ROOT %u = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) \
tuple(%j, %rows, %g)
}

%outer_condition (r: (s32[], bf16[150,8,128], f32[8,128])) -> pred[] {
  %limit = s32[]{:T(128)} constant(150)
  %r = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) parameter(0)
  %k = s32[]{:T(128)} get-tuple-element(%r), index=0
  ROOT %lt = pred[]{:T(512)} compare(%k, %limit), direction=LT, metadata={op_name="a (b)"}
}

ENTRY %main (a: bf16[150,8,128]) -> f32[8,128] {
  %a = bf16[150,8,128]{2,1,0:T(8,128)} parameter(0)
  %start = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) tuple(%a)
  %while.1 = (s32[]{:T(128)}, bf16[150,8,128]{2,1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}) \
while(%start), condition=%outer_condition, body=%outer_body, metadata={op_name="jit(f)/while"}
  ROOT %end = f32[8,128]{1,0:T(8,128)} get-tuple-element(%while.1), index=2
}
"""


def test_turns_are_read_and_multiplied():
    outer, inner = Program.read(NESTED).loops()
    assert (outer.name, outer.turns, outer.times) == ("while.1", 150, 1)
    assert (inner.name, inner.turns, inner.times) == ("while.2", 3, 150)


def test_a_turn_moves_what_lies_in_main_memory_and_its_own_entry_of_a_stack():
    outer, inner = Program.read(NESTED).loops()
    assert outer.bytes_per_turn == 8 * 128 * 2  # one of the 150 entries; the rest is on the chip
    assert inner.bytes_per_turn == 2 * 8 * 128 * 4  # read and written
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
    assert outer.turns is None
    assert outer.bytes_moved == outer.bytes_per_turn
    assert inner.times == 1


def test_a_condition_may_be_a_fusion():
    fused = "%fused.9 (x: s32[], y: s32[]) -> pred[] {\n"
    fused += "  ROOT %c = pred[] compare(%x, %y), direction=LT\n}\n"
    call = "ROOT %lt = pred[] fusion(%k, %limit), kind=kLoop, calls=%fused.9"
    text = NESTED.replace(
        'ROOT %lt = pred[]{:T(512)} compare(%k, %limit), direction=LT, metadata={op_name="a (b)"}',
        call,
    )
    assert Program.read(fused + text).loops()[0].turns == 150


def test_a_program_without_loops_has_none():
    assert Program.read(NESTED.replace("while(", "fusion(")).loops() == []


def test_what_is_read_and_written_in_two_halves_is_counted_once():
    copy = (
        "  %s = (f32[8,128]{1,0:S(1)}, f32[8,128]{1,0}, u32[]) copy-start(%x)\n"
        "  %d = f32[8,128]{1,0:S(1)} copy-done(%s)\n"
    )
    line = "  %y = f32[8,128]{1,0:T(8,128)} fusion"
    inner = Program.read(NESTED.replace(line, copy + line)).loops()[1]
    assert inner.bytes_per_turn == 3 * 8 * 128 * 4


def test_a_slice_is_fetched_without_the_rest():
    fetch = (
        "  %s = ((f32[8,128]{1,0}), f32[2,128]{1,0:S(1)}, s32[]) slice-start(%x), slice={[0:2]}\n"
        "  %d = f32[2,128]{1,0:S(1)} slice-done(%s)\n"
    )
    line = "  %y = f32[8,128]{1,0:T(8,128)} fusion"
    inner = Program.read(NESTED.replace(line, fetch + line)).loops()[1]
    assert inner.bytes_per_turn == (2 * 8 + 2) * 128 * 4


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
