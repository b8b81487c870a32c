"""The load on a server at a tiny size: every kind of request, and its end."""

import pytest

pytest.importorskip("uvicorn")

from benchmarks import serving


@pytest.mark.slow
def test_serving(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # the quicker one to import
    monkeypatch.setattr(serving, "LARGEST", 20)
    monkeypatch.setattr(serving, "POOL", 60)
    shares = (0.5, 0.15, 0.15, 0.1, 0.1)
    monkeypatch.setattr(serving, "KINDS", dict(zip(serving.KINDS, shares, strict=True)))
    results = tmp_path / "RESULTS.md"
    serving.main(["--requests", "60", "--results", str(results)])
    text = results.read_text()
    assert "No wrong answer" in text
    (row,) = [line.split(" | ") for line in text.splitlines() if line.startswith("| 60 |")]
    assert row[-1] == "16 of 16 |"


def test_a_wrong_answer_would_be_found(tmp_path):
    class Answer:
        status = 200

    client = object.__new__(serving.Client)
    client.expected, client.sequences = serving.np.array([1.0, 2.0]), 0
    text = b'{"prediction_tasks": [{"predictions": {"0": [2.0], "1": [1.1]}}]}'
    with pytest.raises(AssertionError, match="Not equal"):
        client.check(Answer(), text, serving.np.array([1, 0]))
