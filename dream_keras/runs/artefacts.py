"""Files that other programs predict with: their formats, and how a run is written to one."""

import logging
import tempfile
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.errors import UserError, unknown
from dream_keras.common.files import UNFINISHED
from dream_keras.common.text import reason

if TYPE_CHECKING:
    import keras

    from dream_keras.runs.exported import Takes
    from dream_keras.runs.run import Run


@dataclass(frozen=True)
class Format:
    """A kind of file or folder that a run is written to.

    Attributes:
        suffix: How its name ends; empty for a folder.
        packages: What writing it needs beside Keras; extras of this package have them.
    """

    suffix: str
    packages: tuple[str, ...] = ()


FORMATS = {
    "keras": Format(".keras"),
    "saved_model": Format("", ("tensorflow",)),
    "onnx": Format(".onnx", ("tensorflow", "onnx", "tf2onnx")),
    "litert": Format(".tflite", ("tensorflow",)),
    "openvino": Format(".xml", ("tensorflow", "onnx", "tf2onnx", "openvino")),
    "torch": Format(".pth", ("torch",)),
}
EXTRAS = "tensorflow,export,torch"


def check_artefact(name: str, out: Path) -> None:
    """Refuse what could not be written, before Keras is imported.

    Args:
        name: One of ``FORMATS``.
        out: The file or folder.

    Raises:
        UserError: If there is no such format, its packages are missing, or ``out`` is a folder that
            holds something or has another suffix.
    """
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    suffix = FORMATS[name].suffix
    missing = [package for package in FORMATS[name].packages if find_spec(package) is None]
    if missing:
        raise UserError(
            f"format {name} needs {', '.join(missing)}: pip install {' '.join(missing)} (or "
            f'"dream-keras[{EXTRAS}]" for all formats)'
        )
    if suffix and out.suffix != suffix:
        raise UserError(f"{out}: the name of a file in format {name} ends in {suffix}")
    if (out.is_dir() and (suffix or any(out.iterdir()))) or (not suffix and out.is_file()):
        raise UserError(f"{out} exists already: give another name, or remove it")


def write_artefact(run: "Run", name: str, out: Path, takes: "Takes" = "tokens") -> list[str]:
    """Write a run to a file or folder of a format.

    Args:
        run: The run.
        name: One of ``FORMATS``.
        out: The file, which is replaced, or the folder.
        takes: What the model takes; see ``exported_model``.

    Returns:
        Modules with layers that are not Keras's own, which a ``.keras`` file is loaded with.

    Raises:
        UserError: If the run cannot be exported; says why.
    """
    import keras

    from dream_keras.model.portable import foreign_modules
    from dream_keras.model.torch_weights import write_checkpoint
    from dream_keras.runs.exported import exported_model

    backend = keras.backend.backend()
    if "tensorflow" in FORMATS[name].packages and backend != "tensorflow":
        raise UserError(
            f"format {name} is written by TensorFlow, and Keras runs on {backend}: set "
            "KERAS_BACKEND=tensorflow"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=out.parent) as folder:
        path = Path(folder) / out.name
        if name == "torch":
            write_checkpoint(run.network, path)
            modules = []
        else:
            model = exported_model(run, takes, unrolled=name == "litert")
            modules = foreign_modules(model)
            try:
                _write_model(model, name, path)
            except Exception as error:  # the converters raise many types of error
                raise UserError(
                    f"{run.folder} cannot be written in format {name}: {reason(error)}"
                ) from error
        for made in Path(folder).iterdir():
            made.replace(out.parent / made.name)
    return modules


def _write_model(model: "keras.Model", name: str, path: Path) -> None:
    """Write a model with Keras's own means."""
    if name == "keras":
        model.save(path)
    elif name == "saved_model":
        model.export(str(path), format="tf_saved_model", verbose=False)
    elif name == "litert":
        import tensorflow as tf

        # Keras also allows TensorFlow's own operations, which the LiteRT runtime does not have.
        target = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
        model.export(str(path), format="litert", verbose=False, target_spec=target)
    else:
        onnx = path.with_suffix(".onnx")
        logging.getLogger("tf2onnx").setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of numpy, which Keras looks into
            model.export(str(onnx), format="onnx", verbose=False)
        if name == "openvino":
            import openvino

            # Keras hands it the TensorFlow graph, of which OpenVINO lacks the loop of an LSTM.
            openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)
            onnx.unlink()
