"""Differences and speed of exported files, each in its own runtime, beside TensorFlow.

    python -m benchmarks.exporting [--presets dream_cnn] [--formats onnx] [--repeats 5]

Networks have random weights. Each file predicts the same random sequences; the runtimes take
turns, and so does the run itself, with TensorFlow. Writes its table to ``docs/export.md``. Needs
the extras tensorflow and export.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.results import machine, table, write_section
from dream_keras.common.cli import load_backend
from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import Tokens, decode_rows
from dream_keras.runs.artefacts import FORMATS, check_artefact, write_artefact

PRESETS = ("dream_cnn", "dream_rnn", "dream_attn", "quickstart")
WHOLE = tuple(name for name in FORMATS if name != "torch")
BATCH = 64
PAGE = Path(__file__).parents[1] / "docs" / "export.md"
CORES = len(os.sched_getaffinity(0))
Predict = Callable[[Tokens], npt.NDArray[np.generic]]


def open_keras(path: Path) -> Predict:
    """Open a ``.keras`` file, compiled by TensorFlow."""
    import keras

    return keras.saving.load_model(path).predict_on_batch


def open_saved_model(path: Path) -> Predict:
    """Open a SavedModel."""
    import tensorflow as tf

    model = tf.saved_model.load(path)
    return lambda tokens: model.serve(tf.constant(tokens)).numpy()


def open_onnx(path: Path) -> Predict:
    """Open an ONNX file in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda tokens: session.run(None, {"tokens": tokens})[0]


def open_litert(path: Path) -> Predict:
    """Open a LiteRT file in its interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=CORES)
    inputs, outputs = (
        details[0]["index"]
        for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )

    def predict(tokens: Tokens) -> npt.NDArray[np.generic]:
        interpreter.resize_tensor_input(inputs, tokens.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(inputs, tokens)
        interpreter.invoke()
        return interpreter.get_tensor(outputs)

    return predict


def open_openvino(path: Path) -> Predict:
    """Open an OpenVINO file, in float32."""
    import openvino

    config = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", config)
    return lambda tokens: model(tokens)[0]


OPEN: dict[str, Callable[[Path], Predict]] = {
    "keras": open_keras,
    "saved_model": open_saved_model,
    "onnx": open_onnx,
    "litert": open_litert,
    "openvino": open_openvino,
}
"""How a file of each format is opened in its runtime; what it returns predicts tokens."""


def random_run(preset: str, folder: Path, overrides: Sequence[str] = (), seed: int = 0) -> Any:
    """Make a run whose weights, also those that start at 0 or 1, are random."""
    load_backend()
    from dream_keras.config.experiment import load_experiment
    from dream_keras.runs.folder import RunFolder
    from dream_keras.runs.run import load_run

    experiment = load_experiment(preset, overrides)
    folder_of_run = RunFolder(folder)
    folder_of_run.create(experiment)
    run = load_run(folder)
    network, random = run.untrained_network(), np.random.default_rng(seed)
    for weight in network.weights:
        if len(weight.shape) == 1:
            weight.assign(random.uniform(0.8, 1.2, weight.shape))
        else:
            weight.assign(weight + random.normal(0, 0.02, weight.shape))
    folder_of_run.save_weights(network, folder_of_run.best_weights)
    return run


def random_tokens(run: Any, rows: int) -> Tokens:
    """Return random sequences with the adapters that the run expects, as long as it takes."""
    from dream_keras.data.lookup import sequence_lengths

    left = run.processor.left_adapter
    longest = sequence_lengths(run.processor, run.experiment.data.adapters)[1]
    inserts = np.random.default_rng(1).integers(0, 4, (rows, longest - len(left)))
    return np.concatenate([np.tile(left, (rows, 1)), inserts.astype(np.uint8)], axis=1)


def measure(run: Any, formats: Sequence[str], folder: Path, repeats: int) -> list[list[str]]:
    """Return the lines of a run's table, one for TensorFlow and one for each format."""
    tokens = random_tokens(run, BATCH)
    wanted = run.predict(decode_rows(tokens), progress=False)[:, None]
    encoded = run._encoded(decode_rows(tokens))
    ways: dict[str, Predict] = {"the run, TensorFlow": lambda rows: run.steps.predict(encoded)}
    notes = {"the run, TensorFlow": ["", ""]}
    for name in formats:
        path = folder / f"model{FORMATS[name].suffix}"
        try:
            check_artefact(name, path)
            write_artefact(run, name, path)
            predict = OPEN[name](path)
        except (UserError, ImportError) as error:
            notes[name] = [str(error), ""]
            continue
        difference = np.abs(predict(tokens) - wanted).max()
        files = [path, *path.glob("**/*"), *path.parent.glob(f"{path.stem}.bin")]
        size = sum(file.stat().st_size for file in files if file.is_file()) / 2**20
        ways[name], notes[name] = predict, [f"{difference:.1e}", f"{size:.1f}"]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, predict in ways.items():
            began = time.perf_counter()
            predict(tokens)
            if repeat:  # the first one compiles
                seconds[name].append(time.perf_counter() - began)
    lines = []
    base = next(iter(seconds.values()))
    for name, note in notes.items():
        speed = ["", ""]
        if name in seconds:
            times = [first / own for first, own in zip(base, seconds[name], strict=True)]
            speed = [f"{BATCH / median(seconds[name]):,.0f}", f"{median(times):.2f}"]
        lines.append([name, *note, *speed])
    return lines


def main(argv: list[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--formats", nargs="+", choices=WHOLE, default=WHOLE)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--set", dest="overrides", nargs="*", default=[], help="as in train")
    parser.add_argument("--results", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    about = machine()
    rows: list[list[str]] = []
    for preset in args.presets:
        with tempfile.TemporaryDirectory() as folder:
            run = random_run(preset, Path(folder) / "run", args.overrides)
            rows += [
                [preset, *row] for row in measure(run, args.formats, Path(folder), args.repeats)
            ]
        print("\n".join(table(rows[-1], rows[:-1])), flush=True)
    head = ("network", "format", "largest difference", "MiB", "sequences/s", "against TensorFlow")
    text = [
        f"{about}. Batches of {BATCH} random sequences, random weights, medians of {args.repeats} "
        "repeats in turns.",
        "",
        *table(head, rows),
    ]
    write_section(args.results, "exporting", text)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
