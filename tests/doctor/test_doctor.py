"""The doctor: every check over faked machines, the probe's ways to fail, and the command."""

import dataclasses
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dream_keras.doctor
from dream_keras.doctor import diagnose
from dream_keras.doctor.checks import CHECKS, Finding
from dream_keras.doctor.system import STAGES, SystemInfo, free_disk, free_memory, gather, probe

ROOT = Path(__file__).parents[2]
REQUIREMENTS = {
    "": {"python": ">=3.11", "keras": "<4,>=3.10", "pandas": ">=2.2", "tqdm": ""},
    "tensorflow": {"tensorflow": ">=2.18"},
    "tpu": {"tensorflow-tpu": ">=2.18", "libtpu": "==0.0.14"},
    "jax": {"jax": ">=0.4.35"},
}
VERSIONS = {"dream_keras": "0.1.0", "keras": "3.15.1", "pandas": "3.0", "tqdm": "4.66"}
PYTHON = {"python": "3.11.7", "disk": 10**11, "memory": 10**10}


def reports(kind="cpu", strategy="none", count=1, losses=(2.5, 2.4)):
    """What the probe says where everything works."""
    return {
        "devices": {"kinds": [kind] * count, "names": [f"{kind}:0"] * count, "seconds": 3.0},
        "strategy": {"name": strategy, "devices": [f"{kind}:0"] * count},
        "step": {"losses": list(losses), "rows": 16, "seconds": [5.0, 0.02]},
    }


def machine(backend, versions=None, **found):
    """A machine on which one backend works, but for ``found``."""
    versions = (
        VERSIONS | {backend: {"tensorflow": "2.21.0", "jax": "0.10.2"}[backend]} | (versions or {})
    )
    given = {"installed": (backend,), "reports": reports(), "versions": versions, **PYTHON}
    return SystemInfo(**{"requirements": REQUIREMENTS} | given | found)


def without(system, *names):
    kept = {name: found for name, found in system.versions.items() if name not in names}
    return dataclasses.replace(system, versions=kept)


def up_to(stage, failure):
    """What is found where a stage fails."""
    kept = STAGES[: STAGES.index(stage)]
    return {"reports": {name: reports()[name] for name in kept}, "failure": failure}


TENSORFLOW, JAX = machine("tensorflow"), machine("jax")
VFIO = {"tpu_signs": ("/dev/vfio/0",)}
ON_TPU = reports("tpu", "tpu", 4)
TENSORFLOW_TPU = without(
    machine("tensorflow", {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.14"}, **VFIO), "tensorflow"
)
TENSORFLOW_ON_TPU = dataclasses.replace(TENSORFLOW_TPU, reports=ON_TPU)
HEALTHY = {
    "tensorflow": TENSORFLOW,
    "jax": JAX,
    "jax, chosen": dataclasses.replace(
        JAX, installed=("tensorflow", "jax"), environment={"KERAS_BACKEND": "jax"}
    ),
    "jax on TPU": machine("jax", {"libtpu": "0.0.42.1"}, reports=ON_TPU, **VFIO),
    "jax on a TPU that shows no sign": machine("jax", {"libtpu": "0.0.17"}, reports=ON_TPU),
    "tensorflow on TPU": TENSORFLOW_ON_TPU,
    "tensorflow on TPU, whose devices it does not list": dataclasses.replace(
        TENSORFLOW_TPU, reports=reports("cpu", "tpu")
    ),
    "a newer libtpu that does find the TPU": dataclasses.replace(
        TENSORFLOW_ON_TPU, versions={**TENSORFLOW_ON_TPU.versions, "libtpu": "0.0.20"}
    ),
    "GPUs": machine("tensorflow", gpu=True, reports=reports("gpu", "mirrored", 2)),
    "not known": dataclasses.replace(JAX, disk=None, memory=None),
    "a development version": machine("tensorflow", {"tensorflow": "2.22.0.dev20260101+cpu"}),
}

PROBLEM, WARNING = "problem", "warning"
CASES = [
    (
        "python",
        dataclasses.replace(JAX, python="3.10.13"),
        PROBLEM,
        "Python 3.10.13",
        "install Python >=3.11",
    ),
    (
        "packages",
        without(JAX, "pandas", "tqdm"),
        PROBLEM,
        "pandas, tqdm",
        "pip install -U 'pandas>=2.2' 'tqdm'",
    ),
    (
        "packages",
        dataclasses.replace(JAX, requirements={}),
        PROBLEM,
        "dream-keras is not installed",
        "pip install '.[tensorflow]', or pip install '.[jax]'",
    ),
    ("versions", machine("jax", {"keras": "3.9.2"}), PROBLEM, "keras 3.9.2", "'keras<4,>=3.10'"),
    ("versions", machine("jax", {"keras": "2.15.0"}), PROBLEM, "keras 2.15.0", "'keras<4,>=3.10'"),
    ("versions", machine("jax", {"keras": "4.0.0"}), PROBLEM, "keras 4.0.0", "'keras<4,>=3.10'"),
    (
        "backend",
        dataclasses.replace(JAX, installed=(), **up_to("devices", "no backend")),
        PROBLEM,
        "neither is installed",
        "pip install tensorflow, or pip install jax",
    ),
    (
        "backend",
        dataclasses.replace(JAX, environment={"KERAS_BACKEND": "torch"}),
        PROBLEM,
        "KERAS_BACKEND=torch, but",
        "unset the variable",
    ),
    (
        "backend",
        dataclasses.replace(TENSORFLOW, environment={"KERAS_BACKEND": "jax"}),
        PROBLEM,
        "KERAS_BACKEND=jax, which is not installed",
        "pip install jax",
    ),
    (
        "keras.json",
        dataclasses.replace(
            JAX,
            keras_file="/home/me/.keras/keras.json",
            keras_settings={
                "floatx": "float16",
                "epsilon": 1e-7,
                "image_data_format": "channels_first",
                "backend": "torch",
                "nnx_enabled": True,
            },
        ),
        WARNING,
        "/home/me/.keras/keras.json sets floatx 'float16', image_data_format 'channels_first', "
        "backend 'torch', nnx_enabled True",
        "runs do not follow it",
    ),
    (
        "variables",
        dataclasses.replace(JAX, environment={"XLA_FLAGS": "--xla_a=1", "JAX_ENABLE_X64": "1"}),
        WARNING,
        "XLA_FLAGS=--xla_a=1; JAX_ENABLE_X64: not followed by runs",
        "unset these",
    ),
    (
        "versions",
        machine("jax", {"pandas": "1.5.3", "keras": "3.9.0"}),
        PROBLEM,
        "keras 3.9.0, pandas 1.5.3",
        "pip install -U 'keras<4,>=3.10' 'pandas>=2.2'",
    ),
    ("versions", machine("jax", {"jax": "0.4.30"}), PROBLEM, "jax 0.4.30", "'jax>=0.4.35'"),
    (
        "versions",
        machine("tensorflow", {"tensorflow": "2.15.1"}),
        PROBLEM,
        "tensorflow 2.15.1",
        "'tensorflow>=2.18'",
    ),
    (
        "versions",
        dataclasses.replace(
            TENSORFLOW_ON_TPU, versions={**TENSORFLOW_ON_TPU.versions, "tensorflow-tpu": "2.16.1"}
        ),
        PROBLEM,
        "tensorflow-tpu 2.16.1",
        "'tensorflow-tpu>=2.18'",
    ),
    (
        "tensorflow",
        machine("tensorflow", {"tensorflow-tpu": "2.20.0", "libtpu": "0.0.14"}, **VFIO),
        PROBLEM,
        "tensorflow and tensorflow-tpu are both installed",
        "pip uninstall -y tensorflow tensorflow-tpu, then pip install tensorflow-tpu libtpu==",
    ),
    (
        "tensorflow",
        machine("jax", {"tensorflow": "2.20.0", "tensorflow-tpu": "2.20.0"}),
        WARNING,
        "tensorflow and tensorflow-tpu are both installed",
        "pip uninstall -y tensorflow tensorflow-tpu",
    ),
    (
        "TPU packages",
        machine("tensorflow", **VFIO),
        PROBLEM,
        "TensorFlow 2.21.0 has no TPU support",
        "use the JAX backend (pip install 'jax[tpu]', and KERAS_BACKEND=jax)",
    ),
    (
        "TPU packages",
        without(TENSORFLOW_TPU, "libtpu"),
        PROBLEM,
        "TensorFlow cannot use a TPU without libtpu",
        "pip install libtpu==0.0.14",
    ),
    (
        "TPU packages",
        dataclasses.replace(without(TENSORFLOW_TPU, "libtpu"), tpu_signs=()),
        WARNING,
        "TensorFlow cannot use a TPU without libtpu",
        "pip install libtpu==0.0.14",
    ),
    (
        "TPU packages",
        machine("jax", **VFIO),
        PROBLEM,
        "JAX cannot use a TPU without libtpu",
        "pip install 'jax[tpu]'",
    ),
    (
        "libtpu",
        dataclasses.replace(
            TENSORFLOW_TPU, versions={**TENSORFLOW_TPU.versions, "libtpu": "0.0.20"}
        ),
        WARNING,
        "libtpu 0.0.20 may be too new for tensorflow-tpu 2.20.0",
        "pip install libtpu==0.0.14",
    ),
    (
        "TPU",
        TENSORFLOW_TPU,
        PROBLEM,
        "/dev/vfio/0), tensorflow finds none",
        "end other processes.*or use the JAX backend",
    ),
    (
        "TPU",
        machine("jax", {"libtpu": "0.0.42.1"}, **VFIO),
        PROBLEM,
        "/dev/vfio/0), jax finds none",
        "end other processes[^,]*$",
    ),
    (
        "TPU",
        machine("jax", {"libtpu": "0.0.42.1"}, environment={"JAX_PLATFORMS": "cpu"}, **VFIO),
        PROBLEM,
        "jax finds none",
        "JAX_PLATFORMS=cpu hides it",
    ),
    ("GPU", machine("tensorflow", gpu=True), WARNING, "tensorflow finds none", "[and-cuda]"),
    ("GPU", machine("jax", gpu=True), WARNING, "jax finds none", "jax[cuda12]"),
    (
        "GPU",
        machine("jax", gpu=True, environment={"CUDA_VISIBLE_DEVICES": ""}),
        WARNING,
        "jax finds none",
        'CUDA_VISIBLE_DEVICES="" hides it',
    ),
    (
        "devices",
        machine("jax", **up_to("devices", "ended by SIGILL")),
        PROBLEM,
        "ended by SIGILL",
        "reinstall",
    ),
    (
        "devices",
        machine("jax", {"libtpu": "0.0.42.1"}, **up_to("devices", "TPU in use"), **VFIO),
        PROBLEM,
        "TPU in use",
        "end other processes that hold the TPU",
    ),
    (
        "strategy",
        machine("jax", **up_to("strategy", "no answer within 300 s")),
        PROBLEM,
        "no answer within 300 s",
        "--strategy none",
    ),
    (
        "training step",
        machine("jax", **up_to("step", "XlaRuntimeError: bad")),
        PROBLEM,
        "XlaRuntimeError: bad",
        "other backend",
    ),
    (
        "training step",
        machine("jax", reports=reports(losses=(2.0, math.nan))),
        PROBLEM,
        "the loss is nan",
        "other backend",
    ),
    ("disk", dataclasses.replace(JAX, disk=9 * 10**8), WARNING, "0.9 GB free in this", "--out"),
    ("memory", dataclasses.replace(JAX, memory=10**9), WARNING, "1.0 GB free", "batch_size"),
]


def test_every_check_has_a_case():
    assert {case[0] for case in CASES} == set(CHECKS)


@pytest.mark.parametrize(("subject", "system", "level", "found", "cure"), CASES)
def test_a_bad_machine_is_told_what_to_do(subject, system, level, found, cure):
    findings = {finding.subject: finding for finding in diagnose(system)}
    assert findings[subject].level == level
    assert found in findings[subject].found
    assert cure in findings[subject].cure or re.search(cure, findings[subject].cure)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_good_machine_is_left_in_peace(name):
    findings = list(diagnose(HEALTHY[name]))
    assert {finding.level for finding in findings} == {"ok"}
    assert {"backend", "devices", "strategy", "training step"} <= {f.subject for f in findings}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_takes_any_machine(check):
    """None fails, and whatever is not ok has a cure, also where nothing was found at all."""
    nothing = [
        SystemInfo(),
        *(machine(b, **up_to(s, None)) for b in ("jax", "tensorflow") for s in STAGES),
    ]
    for system in [*HEALTHY.values(), *(case[1] for case in CASES), *nothing]:
        finding = CHECKS[check](system)
        assert finding is None or bool(finding.cure) == (finding.level != "ok")
        assert finding is None or finding.found


def test_the_libtpu_of_an_older_tensorflow_tpu_is_no_newer_one():
    versions = {**TENSORFLOW_TPU.versions, "tensorflow-tpu": "2.18.0", "libtpu": "2.18.0"}
    system = dataclasses.replace(TENSORFLOW_TPU, versions=versions)
    assert "libtpu" not in {finding.subject for finding in diagnose(system)}


def test_one_cause_is_told_once():
    """Stages behind the one that failed were not reached; a TPU that packages keep away is no
    second finding.
    """
    failed = [f.subject for f in diagnose(machine("jax", **up_to("devices", "crash")))]
    assert "strategy" not in failed
    assert "training step" not in failed
    assert "TPU" not in [f.subject for f in diagnose(machine("tensorflow", **VFIO))]


def test_a_finding_as_a_line():
    finding = Finding("warning", "1.0 GB free", "buy some", "memory")
    assert str(finding) == (
        "warning  memory        1.0 GB free\n                       -> buy some"
    )


def test_the_version_of_a_backend_that_is_not_used_does_not_matter():
    old = machine("jax", {"tensorflow": "2.15.1"})
    assert "versions" not in {finding.subject for finding in diagnose(old)}


DEVICES = 'print(\'{"stage": "devices", "kinds": ["cpu"]}\', flush=True)'
STEP = 'print(\'{"stage": "step", "error": "bad luck"}\', flush=True)'


@pytest.mark.parametrize(
    ("code", "stages", "failure"),
    [
        (f"print('noise'); {DEVICES}", ["devices"], None),
        (f"{DEVICES}; import os; os.abort()", ["devices"], "ended by SIGABRT"),
        (f"{DEVICES}; {STEP}", ["devices"], "bad luck"),
        ("import nowhere", [], "ended with status 1: ModuleNotFoundError: No module .*nowhere"),
        (f"{DEVICES}; import time; time.sleep(60)", ["devices"], "no answer within 2 s"),
        ("print('{\"stage\": \"devi', end='')", [], None),
        (r"import os; os.write(1, b'\xff\xfe\n')", [], None),
    ],
)
def test_however_the_probe_ends_it_is_reported(code, stages, failure):
    found, why = probe(["-c", code], seconds=2)
    assert list(found) == stages
    assert (why is None) == (failure is None)
    assert why is None or re.match(failure, why)


def test_a_python_that_cannot_be_started_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "no process could be started" in probe()[1]


def test_free_memory_is_the_containers(tmp_path):
    assert free_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 99 kB\nMemAvailable:    4000 kB\n")
    assert free_memory(tmp_path) == 4_096_000
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1500000\n")
    (group / "memory.stat").write_text("anon 1000000\ninactive_file 500000\n")
    (group / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) == 4_096_000
    (group / "memory.max").write_text("3000000\n")
    assert free_memory(tmp_path) == 2_000_000


def test_a_disk_that_cannot_be_asked_is_no_crash(monkeypatch):
    assert free_disk() > 0

    def fail(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr("shutil.disk_usage", fail)
    assert free_disk() is None


def test_what_is_gathered_here(monkeypatch):
    monkeypatch.setattr("dream_keras.doctor.system.probe", lambda: ({}, "crash"))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    system = gather()
    assert system.python.startswith("{}.{}.{}".format(*sys.version_info))
    assert system.versions["dream_keras"] == dream_keras.__version__
    assert {"keras", "numpy", "pandas"} <= set(system.versions)
    assert "keras" in system.requirements[""]
    assert system.environment["JAX_PLATFORMS"] == "cpu"
    assert system.failure == "crash"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert gather().failure is None, "nothing is started without a backend"


def doctor(*code, **variables):
    """Run the command in a fresh process, after ``code``."""
    lines = [*code, "import runpy", "runpy.run_module('dream_keras.doctor', run_name='__main__')"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", "\n".join(["import sys", "sys.argv[1:] = []", *lines])]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_command_on_this_machine_in_an_ascii_locale():
    done = doctor(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("ok       python        3.")
    assert re.search(r"^ok       training step loss \d", done.stdout, re.M)
    assert done.returncode == 0, done.stdout


def test_problems_are_the_exit_status():
    done = doctor(KERAS_BACKEND="torch")
    assert done.returncode == 1
    assert "problem  backend       KERAS_BACKEND=torch" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("known", [True, False])
def test_nothing_installed_is_no_crash(tmp_path, known):
    """Python alone, without site-packages; it may know of the package in a checkout."""
    (tmp_path / "dream_keras").symlink_to(ROOT / "dream_keras")
    if known:
        (tmp_path / "dream_keras.egg-info").mkdir()
        (tmp_path / "dream_keras.egg-info/PKG-INFO").write_text("Name: dream-keras\n")
        (tmp_path / "dream_keras.egg-info/requires.txt").write_text("keras>=3.10\n")
    code = "from dream_keras.doctor.__main__ import main; main([])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 1
    assert "problem  packages      dream-keras is not installed" in done.stdout
    assert "pip install '.[tensorflow]'" in done.stdout
    assert "neither is installed" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_old_python_is_told():
    done = doctor("sys.version_info = (3, 10, 9)")
    assert done.returncode == 1
    assert "install Python 3.11" in done.stderr
    assert "Traceback" not in done.stderr
