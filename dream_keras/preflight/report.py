"""The report on a compiled step."""

from dream_keras.preflight.chips import GIB
from dream_keras.preflight.findings import Findings


def report(found: Findings, steps: int) -> str:
    """Return the findings as lines of text.

    Args:
        found: What the compiler said.
        steps: Steps of the whole run.
    """
    topology, roofline = found.topology, found.roofline
    fits = found.memory_bytes <= found.usable_bytes
    alone = ""
    if found.backend == "tensorflow" and topology.chips > 1:
        alone = f"; of {topology.chips} TensorFlow replicas one, without their exchange"
    chips = "1 chip" if topology.chips == 1 else f"{topology.chips} chips"
    least = "at least " if found.lower_bound else ""
    lines = {
        "step": f"compiles for {topology} ({chips}), {found.batch:,} rows, "
        f"{found.weights:,} weights{alone}",
        "memory per chip": f"{found.memory_bytes / GIB:.2f} GiB of {found.usable_bytes / GIB:.2f}: "
        f"{'fits' if fits else 'DOES NOT FIT'} (state {found.state_bytes / GIB:.2f}, temporaries "
        f"{found.temporary_bytes / GIB:.2f}, program {found.program_bytes / GIB:.2f})",
        "largest batch": f"about {found.largest_batch:,} rows, temporaries taken as proportional "
        "to the batch",
        "arithmetic": f"{least}{found.flops / 1e9:,.0f} GFLOP per chip, "
        f"{1e3 * roofline.arithmetic_seconds:.2f} ms at its bfloat16 peak",
        "memory traffic": f"{least}{found.moved_bytes / 1e9:,.1f} GB per chip, "
        f"{1e3 * roofline.memory_seconds:.2f} ms at its full bandwidth",
        "loops": _loops(found),
        "step time": f"at least {1e3 * roofline.seconds:.2f} ms; {roofline.bound} binds",
        "speed": f"at most {found.rows_per_second:,.0f} rows/s",
        "whole run": f"at least {found.hours(steps):.2f} hours for {steps:,} steps",
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())


def _loops(found: Findings) -> str:
    if not found.loops:
        return "none"
    known = [str(trip_count) for trip_count in found.loops if trip_count is not None]
    unknown = len(found.loops) - len(known)
    parts = [f"{', '.join(known)} trips, all counted"] if known else []
    parts += [f"{unknown} of unknown trip count, counted once"] if unknown else []
    return "; ".join(parts)
