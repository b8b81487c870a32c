"""The GAME protocol: each point of a predictor's contract, in the shapes of the evaluators."""

import contextlib
import dataclasses
import json
import math

import httpx
import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve_helpers import HUMAN, LIMITS, human_model, running, stand_in, values, yeast_model

from dream_keras.config.settings import GameSettings
from dream_keras.serve.__main__ import _game_arguments
from dream_keras.serve.app import Limits
from dream_keras.serve.game import RequestError, Task, find_task, model_input, read_request

MSGPACK, JSON = "application/msgpack", "application/json"


def sequences(count, length, seed=0):
    letters = np.random.default_rng(seed).choice(list("ACGT"), (count, length))
    return {f"s{at}": "".join(row) for at, row in enumerate(letters)}


def task(name, cell_type="K562", species="homo_sapiens", scale="log", kind="expression"):
    found = {"name": name, "type": kind, "cell_type": cell_type, "species": species}
    return found if scale is None else {**found, "scale": scale}


def point(tasks, texts, **others):
    return {"readout": "point", "prediction_tasks": tasks, "sequences": texts, **others}


def agarwal():
    cells = {
        "wtc11": "induced pluripotent stem cells (iPS cells; WTC11)",
        "k562": "lymphoblasts (K562)",
        "hepg2": "human hepatocytes (HepG2)",
    }
    texts = sequences(4, 200)
    return point(
        [task(f"agarwal_joint_lib_{name}", cell) for name, cell in cells.items()],
        texts,
        upstream_seq="A" * 2802,
        downstream_seq="C" * 5122,
        prediction_ranges={key: [3147, 3867] for key in texts},
    )


def gosai():
    cells = {
        "k562": "K562 (erythroid precursors)",
        "hepg2": "HepG2 (hepatocytes)",
        "sknsh": "SK-N-SH (neuroblastoma)",
    }
    texts = sequences(5, 200, seed=1)
    return point(
        [task(f"gosai_synthetic_sequences_{name}", cell) for name, cell in cells.items()],
        texts,
        upstream_seq="G" * 2079,
        downstream_seq="T" * 1397,
        prediction_ranges={key: [2419, 3171] for key in texts},
    )


def martyn(length=2_000_000):
    text = sequences(1, length, seed=2)["s0"]
    start = length // 2
    other = text[: start - 50] + "GATTACA" + text[start - 50 :]
    texts = {"PPIF": text, "chr10:81107165:G>GATTACA": other}
    name = "THP-1 monocytes"
    ranges = {key: [start, start + 3000] for key in texts}
    return point([task(f"martyn_{name}", name)], texts, prediction_ranges=ranges)


def consistency(species="homo_sapiens"):
    texts = sequences(2, 100_000, seed=3)
    texts |= {f"{key}_RC": text[::-1] for key, text in texts.items()}
    return point(
        [task("consistency_K562", species=species, scale=None, kind="accessibility")], texts
    )


@contextlib.contextmanager
def serving(*models, limits=LIMITS):
    with running(models, limits) as address, httpx.Client(base_url=address, timeout=600) as client:
        yield client


@pytest.fixture(scope="module")
def client():
    with serving(human_model(), yeast_model()) as client:
        yield client


@pytest.fixture(scope="module")
def single():
    """A server with a single cell type, as most models of one assay have."""
    game = GameSettings("homo_sapiens", ("K562",))
    large = Limits(2**24, 100_000, 200_000)
    with serving(stand_in(game=game), limits=large) as client:
        yield client


def ask(client, request, status=200, accept=JSON, content_type=JSON):
    body = msgpack.packb(request) if content_type == MSGPACK else json.dumps(request)
    headers = {"Content-Type": content_type, "Accept": accept}
    answer = client.post("/predict", content=body, headers=headers)
    assert answer.status_code == status, answer.text[:500]
    if status != 200 or MSGPACK not in accept:
        assert answer.headers["content-type"] == JSON
        return answer.json()
    assert answer.headers["content-type"] == MSGPACK
    return msgpack.unpackb(answer.content, raw=False)


def refused(client, request, status, kind="bad_prediction_request", **options):
    answer = ask(client, request, status, **options)
    assert answer["predictor_name"]
    assert all(list(each) == [kind] for each in answer["error"])
    return [each[kind] for each in answer["error"]]


def predicted(answer, number=0):
    found = answer["prediction_tasks"][number]["predictions"]
    return {key: value[0] for key, value in found.items()}


def test_01_formats(client):
    answer = client.get("/formats").json()
    for way in ("request", "response"):
        assert answer[f"predictor_supported_{way}_formats"] == [JSON, MSGPACK]
    assert answer["predictor_name"] == "human_cnn-yeast_cnn_19700101-000000_UTC"


def test_02_help(client):
    answer = client.get("/help").json()
    assert answer["game_schema_version"] == "1.0"
    assert answer["cell_types"] == [*HUMAN.cell_types, "yeast cells"]
    assert answer["species"] == ["homo_sapiens", "saccharomyces_cerevisiae"]
    assert answer["input_size"] == 200
    assert answer["expression_strand_specific"] is True
    assert {"model", "publication", "features", "container_authors", "model_authors"} <= set(answer)


@pytest.mark.parametrize("accept", [JSON, MSGPACK])
@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_03_04_agarwal(single, accept, content_type):
    asked = agarwal()
    answer = ask(single, asked, accept=accept, content_type=content_type)
    assert len(answer["prediction_tasks"]) == 3
    for given_task, found in zip(
        asked["prediction_tasks"], answer["prediction_tasks"], strict=True
    ):
        assert found["name"] == given_task["name"]
        for word in ("type", "cell_type", "species"):
            assert found[f"{word}_requested"] == given_task[word]
        assert found["scale_prediction_requested"] == found["scale_prediction_actual"] == "log"
        assert (found["type_actual"], found["cell_type_actual"]) == (["expression"], "K562")
        assert found["species_actual"] == "homo_sapiens"
        assert found["predictions"].keys() == asked["sequences"].keys()
        for key, (value,) in found["predictions"].items():
            assert type(key) is str
            assert type(value) is float
            expected = values([asked["sequences"][key]])[0, 0]
            assert value == pytest.approx(expected, rel=1e-6)


def test_03_several_cell_types_are_told_apart(client):
    asked = gosai()
    answer = ask(client, asked)
    actual = [found["cell_type_actual"] for found in answer["prediction_tasks"]]
    assert actual == ["K562", "HepG2", "SK-N-SH"]
    expected = values(asked["sequences"].values(), 3, seed=1)
    found = [list(predicted(answer, number).values()) for number in range(3)]
    np.testing.assert_allclose(np.array(found).T, expected, rtol=1e-6)
    # One that is not served fails alone.
    failed, *others = ask(client, agarwal())["prediction_tasks"]
    assert "there is HepG2, K562, SK-N-SH" in failed["predictions"]["error"]
    assert failed["cell_type_actual"] == failed["species_actual"] == "N/A"
    assert [each["cell_type_actual"] for each in others] == ["K562", "HepG2"]


@pytest.mark.parametrize("accept", ["", "*/*", "text/html"])
def test_05_json_unless_msgpack_is_accepted(client, accept):
    answer = client.post("/predict", json=gosai(), headers={"Accept": accept})
    assert answer.headers["content-type"] == JSON
    assert len(answer.json()["prediction_tasks"]) == 3


def test_06_content_types(client):
    ask(client, gosai(), content_type="application/json; charset=utf-8")
    answer = client.post("/predict", content=json.dumps(gosai()).encode())
    assert answer.status_code == 200
    (message,) = refused(client, gosai(), 400, content_type="text/csv")
    assert "text/csv" in message
    for body in (b"{", b"\xff", b"[" * 100_000, b'{"a": 1} x'):
        answer = client.post("/predict", content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, JSON)
        answer = client.post("/predict", content=body, headers={"Content-Type": MSGPACK})
        assert answer.status_code == 400


@pytest.mark.parametrize("key", ["readout", "prediction_tasks", "sequences"])
@pytest.mark.parametrize("instead", [None, 5, "", [], {}, ...])
def test_07_mandatory_keys(client, key, instead):
    asked = gosai()
    del asked[key]
    if instead is not ...:
        asked[key] = instead
    assert any(message.startswith(key) for message in refused(client, asked, 400))


@pytest.mark.parametrize("key", ["name", "type", "cell_type", "species"])
@pytest.mark.parametrize("instead", [None, 5, "", ...])
def test_07_mandatory_keys_of_tasks(client, key, instead):
    asked = gosai()
    del asked["prediction_tasks"][1][key]
    if instead is not ...:
        asked["prediction_tasks"][1][key] = instead
    (message,) = refused(client, asked, 400)
    assert message.startswith(f"prediction_tasks[1].{key}")


def test_08_readout_scale_and_type(client):
    (message,) = refused(client, gosai() | {"readout": "points"}, 400)
    assert "point, track" in message
    refused(client, gosai() | {"readout": "track"}, 422, "prediction_request_failed")
    for change in ({"scale": "ln"}, {"type": "expression_rRNA"}, {"type": "binding_"}):
        asked = gosai()
        asked["prediction_tasks"][0] |= change
        (message,) = refused(client, asked, 400)
        assert message.startswith(f"prediction_tasks[0].{next(iter(change))}")


BAD_RANGES = [[5], [5, 2], [-1, 3], ["a", 1], [True, 3], [1.0, 3], [0, 8], None, "12", [1, 2, 3]]


@pytest.mark.parametrize("pair", BAD_RANGES)
def test_09_bad_ranges(client, pair):
    texts = {"a": "ACGT", "b": "ACGTA"}
    asked = point([task("t")], texts, upstream_seq="CC", downstream_seq="G")
    (message,) = refused(client, asked | {"prediction_ranges": {"a": pair, "b": [0, 8]}}, 400)
    assert "prediction_ranges of a" in message


def test_09_good_ranges(client):
    texts = {"a": "ACGT", "b": "ACGTA"}
    asked = point([task("t")], texts, upstream_seq="CC", downstream_seq="G")
    for pair in ([], [0, 7], [7, 7], [2, 4]):
        ask(client, asked | {"prediction_ranges": {"a": pair, "b": []}})
    for ranges in ({"a": []}, {"a": [], "b": [], "c": []}, {"a": [], "c": []}, [[], []]):
        refused(client, asked | {"prediction_ranges": ranges}, 400)


@pytest.mark.parametrize("text", ["", "ACXT", "AC T", "ACÄT", "AC-T", "ＡC"])
def test_10_letters(client, text):
    kind = "prediction_request_failed"
    (message,) = refused(client, point([task("t")], {"good": "ACGT", "bad": text}), 422, kind)
    assert message.startswith("sequence bad")
    (message,) = refused(client, point([task("t")], {"s": "A"}, upstream_seq="AU"), 422, kind)
    assert "upstream_seq: letter 'U' at position 2" in message
    refused(client, point([task("t")], {"s": 5}), 400)


def test_11_unsupported_species_and_types(client):
    for other in (task("t", species="mus_musculus"), task("t", kind="accessibility")):
        answer = ask(client, point([other], {"s": "ACGT"}))
        (found,) = answer["prediction_tasks"]
        assert "expression of homo_sapiens" in found["predictions"]["error"]
        assert (found["type_actual"], found["scale_prediction_actual"]) == (["N/A"], "N/A")
    found = ask(client, point([task("t", kind="expression_mRNA")], {"s": "ACGT"}))
    assert found["prediction_tasks"][0]["type_actual"] == ["expression"]


@pytest.mark.parametrize("own", ["log", "linear"])
def test_12_linear_is_two_to_the_log(own):
    game = GameSettings("homo_sapiens", ("K562",), scale=own)
    positive = stand_in(game=game, seed=3)
    texts = {k: t for k, t in sequences(40, 50).items() if values([t], seed=3)[0, 0] > 0.01}
    asked = point([task("a", scale="log"), task("b", scale="linear"), task("c", scale=None)], texts)
    with serving(positive) as client:
        answer = ask(client, asked)
    log, linear, default = (predicted(answer, number) for number in range(3))
    assert len(log) > 5
    for key in texts:
        assert linear[key] == pytest.approx(2 ** log[key], rel=1e-5)
    assert default == {"log": log, "linear": linear}[own]
    assert answer["prediction_tasks"][2]["scale_prediction_actual"] == own  # 13
    assert answer["prediction_tasks"][2]["scale_prediction_requested"] is None


def test_14_former_key_and_any_ids(client):
    ids = ["chr10:81107165:G>GAACGGAGC", "a b", "ü", "\ud800", "-._~#@%^&*()"]
    asked = point([task("t")], dict.fromkeys(ids, "ACGT")) | {"request": "predict"}
    assert list(predicted(ask(client, asked))) == ids
    answer = client.post("/predict", content=json.dumps(asked), headers={"Accept": MSGPACK})
    assert answer.status_code == 200
    refused(client, point([task("t")], {"error": "ACGT"}), 400)


def test_15_order_and_duplicates(client):
    asked = gosai()
    turned = {"twin": asked["sequences"]["s2"], **dict(reversed(asked["sequences"].items()))}
    ranges = {key: [2419, 3171] for key in turned}
    again = asked | {"sequences": turned, "prediction_ranges": ranges}
    first, second = (predicted(ask(client, each)) for each in (asked, again))
    assert second.pop("twin") == first["s2"]
    assert second == first


def test_16_lower_case(client):
    asked = gosai()
    lower = {key: text.lower() for key, text in asked["sequences"].items()}
    assert predicted(ask(client, asked | {"sequences": lower})) == predicted(ask(client, asked))


def test_17_one_failing_task_leaves_the_others(client):
    asked = gosai()
    alone = ask(client, asked)["prediction_tasks"]
    asked["prediction_tasks"].insert(1, task("bad", species="mus_musculus"))
    first, failed, *others = ask(client, asked)["prediction_tasks"]
    assert "error" in failed["predictions"]
    assert [first, *others] == alone


def test_18_errors_are_json(client):
    refused(client, {}, 400, accept=MSGPACK)
    answer = client.get("/nothing", headers={"Accept": MSGPACK})
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        [{"bad_prediction_request": "Not Found"}],
    )
    assert client.get("/predict").status_code == 405


def test_19_further_arguments_are_ignored():
    assert _game_arguments(["0.0.0.0", "8080", "10.0.0.1", "5000"]) == ("0.0.0.0", 8080)
    assert _game_arguments([]) == (None, None)


def test_20_fifty_thousand_sequences_in_batches():
    asked = []
    game = GameSettings("homo_sapiens", ("K562",))

    def function(views):
        asked.append(len(views))
        counts = [[float(text.count("A"))] for text, _ in views]
        return stand_in().function(views)._replace(values=np.array([counts]))

    model = dataclasses.replace(stand_in(game=game), function=function)
    texts = {str(at): f"{at:020b}".replace("0", "A").replace("1", "C") * 10 for at in range(50_000)}
    with serving(model, limits=Limits(2**24, 50_000, 50_000)) as client:
        answer = ask(client, point([task("t")], texts), accept=MSGPACK)
    assert predicted(answer) == {key: float(text.count("A")) for key, text in texts.items()}
    assert max(asked) == 256
    assert sum(asked) < 50_600


@pytest.mark.parametrize("value", [math.nan, math.inf, 5000.0])
def test_21_what_is_no_number_never_leaves(value):
    def function(views):
        found = values([text for text, _ in views], 2)
        found[[text == "ACGT" for text, _ in views], 0] = value
        return stand_in().function(views)._replace(values=found[None])

    game = GameSettings("homo_sapiens", ("K562", "HepG2"))
    broken = dataclasses.replace(stand_in(game=game, tasks=("a", "b")), function=function)
    asked = point([task("bad", scale="linear"), task("good", "HepG2")], {"s": "ACGT"})
    with serving(broken) as client:
        for accept in (JSON, MSGPACK):
            bad, good = ask(client, asked, accept=accept)["prediction_tasks"]
            assert "no finite number" in bad["predictions"]["error"]
            assert math.isfinite(good["predictions"]["s"][0])


def test_22_long_sequences_are_cropped(single):
    asked = martyn()
    reference, variant = predicted(ask(single, asked | {"prediction_ranges": None})).values()
    assert reference != variant  # an insertion moves the middle
    found = predicted(ask(single, asked))
    text, start = asked["sequences"]["PPIF"], 1_000_000
    # What expression depends on stands in front of the range.
    expected = [
        text[start - 200 : start],
        asked["sequences"]["chr10:81107165:G>GATTACA"][start - 200 : start],
    ]
    np.testing.assert_allclose(list(found.values()), values(expected)[:, 0], rtol=1e-6)
    assert reference == pytest.approx(values([text[999_900:1_000_100]])[0, 0], rel=1e-6)


@pytest.mark.parametrize("species", ["homo_sapiens", "mus_musculus"])
def test_22_consistency(species):
    game = GameSettings(species, ("K562",), type="accessibility")
    asked = consistency(species)
    with serving(stand_in(game=game)) as client:
        answer = ask(client, asked, accept=MSGPACK)
    found = predicted(answer)
    assert answer["prediction_tasks"][0]["type_actual"] == ["accessibility"]
    for key, text in asked["sequences"].items():
        assert found[key] == pytest.approx(values([text[49_900:50_100]])[0, 0], rel=1e-6)


FEW = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])


# Which part of a sequence a model is given.
MODEL = stand_in(longest=10, ends=("GG", "T"), shortest=5)
RANGED = dataclasses.replace(MODEL, game=GameSettings(type="accessibility"))


@pytest.mark.parametrize(
    ("model", "sequence", "span", "expected"),
    [
        (MODEL, "ACA", None, "GGACAT"),  # adapters are put on
        (MODEL, "ggACAT", None, "GGACAT"),  # or are there
        (MODEL, "A", None, "GGNAT"),
        (MODEL, "AACCAACCA", None, "GGACCAACCT"),  # 7 of 9 from the middle
        (MODEL, "AACCAACCA", (8, 9), "GGACCAACCT"),
        (MODEL, "AACCAACCA", (20, 30), "GGCCAACCAT"),  # a reporter behind the sequence
        (MODEL, "AACCAACCA", (-5, -2), "GGAACCAACT"),
        (RANGED, "AACCAACCA", (4, 5), "GGACCAACCT"),
        (RANGED, "AACCAACCA", (0, 3), "GGAACCAACT"),
        (MODEL, "GG" + "AC" * 5, None, "GG" + "ACACACA" + "T"),  # too long to be taken whole
    ],
)
def test_model_input(model, sequence, span, expected):
    assert model_input(model, sequence, span) == expected


@FEW
@given(
    st.text("ACGTn", min_size=1, max_size=40),
    st.none() | st.tuples(st.integers(-50, 90), st.just(95)),
)
def test_every_input_fits_and_comes_from_the_sequence(text, span):
    found = model_input(MODEL, text, span)
    assert 5 <= len(found) <= 10
    assert found.removeprefix("GG").removesuffix("T").lstrip("N").rstrip("T") in text.upper()


# Which model answers.
def answers(models, cell_type, species="homo_sapiens"):
    model, number = find_task(models, Task("t", "expression", cell_type, species, None))
    return model.name, model.game.cell_type(number)


def test_the_model_of_a_task():
    other = stand_in("other", game=GameSettings("homo_sapiens", ("WTC11",)))
    twin = human_model(name="twin")
    models = [human_model(), twin, other, yeast_model()]
    assert answers(models, "hepg2") == ("human_cnn", "HepG2")
    assert answers(models, "iPS cells (WTC11)") == ("other", "WTC11")
    assert answers(models, "anything", "saccharomyces_cerevisiae")[0] == "yeast_cnn"
    assert answers([other], "THP-1 monocytes") == ("other", "WTC11")
    with pytest.raises(LookupError, match="there is HepG2, K562, SK-N-SH, WTC11"):
        answers(models, "THP-1 monocytes")
    with pytest.raises(LookupError, match="nothing for this protocol"):
        answers([stand_in()], "K562")


# Whatever is sent, the answer is an error of the protocol.
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ["readout", "prediction_tasks", "sequences", "upstream_seq", "prediction_ranges"]


ASKED = gosai()


@FEW
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING), ANYTHING)
def test_no_request_is_a_fault(changes, other):
    for value in (ASKED | changes, ASKED | changes | {"prediction_tasks": [other]}, other):
        with contextlib.suppress(RequestError):
            read_request(value)
