"""The command that prints the menu."""

import json
import re

import pytest

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.menu import registry
from dream_keras.menu.__main__ import main

PLUGIN = """
from dream_keras import menu

@menu.register("core", "narrow", source="a test's own file", collection="prix_fixe")
def narrow(x, divisor: int = 3):
    if x.shape[-1] % divisor:
        raise ValueError(f"{x.shape[-1]} channels do not divide by {divisor}")
    return x
"""


@pytest.fixture
def shown(capsys, tmp_path):
    """Run the command; return what it prints, line by line, and what it writes."""

    def run(*arguments):
        out = tmp_path / "menu.json"
        main([*arguments, "--json", str(out)])
        return capsys.readouterr().out.splitlines(), json.loads(out.read_text())

    return run


@pytest.fixture
def small_place(monkeypatch):
    """Leave little on the menu, and take away afterwards what a plugin adds."""
    menu.names("core")
    kept = {k: v for k, v in registry._entries.items() if k[0] != "core" or k[1] == "autosome"}
    monkeypatch.setattr(registry, "load_all", lambda: None)
    monkeypatch.setattr(registry, "_entries", kept)


def test_everything_on_the_menu_is_shown(shown):
    lines, content = shown()
    assert max(map(len, lines)) <= 100
    assert [(item["slot"], item["name"]) for item in content] == [
        (item.slot, item.name) for item in menu.entries()
    ]
    text = " ".join(" ".join(lines).split())
    for item in menu.entries():
        assert item.source in text
        for option, default in item.options.items():
            assert re.search(rf"\b{option}: [^=]+ = {re.escape(repr(default))}", text), option


def test_sizes_are_those_of_the_teams_own_orders(shown):
    _, content = shown()
    size = {(item["slot"], item["name"]): item.get("parameters") for item in content}
    assert size["first", "autosome"] == 7 * 6 * 256 + 2 * 256
    assert sum(size[slot, "autosome"] for slot in ("first", "core", "final")) == 1_725_122
    # The flattened 110 x 320 to 64, to 64, to 1.
    assert size["final", "bhi"] == 110 * 320 * 64 + 64 + 64 * 64 + 64 + 64 + 1
    assert size["final", "autosome_regression"] == 64 * 256 + 256 + 256 + 1
    inputs = {i["name"]: (i["length"], i["channels"]) for i in content if i["slot"] == "processor"}
    published = {"autosome": (150, 6), "bhi": (110, 4), "plain": (0, 5), "unlockdna": (200, 6)}
    assert inputs == {**published, "profile": (2114, 4)}


def test_one_slot(shown):
    lines, content = shown("--slot", "trainer")
    assert lines[0] == "trainer"
    assert {item["slot"] for item in content} == {"trainer"}
    (bhi,) = (item for item in content if item["name"] == "bhi")
    assert bhi["options"]["batch_size"] == {"type": "int", "default": 512}
    assert bhi["options"]["steps_per_epoch"] == {"type": "int | None", "default": None}


@pytest.mark.slow
def test_all_orders(shown):
    lines, content = shown("--orders")
    assert lines[-1] == "81 of 81 orders build"
    assert max(map(len, lines)) <= 100
    assert len(content) == 81
    assert all(order["builds"] for order in content)
    table = {tuple(line.split()[:4]): line.split()[4:] for line in lines[1:-1]}
    assert len(table) == 81
    # DREAM-CNN: input, parameters, multiply-adds, output.
    assert table["autosome", "bhi", "autosome", "autosome"] == [
        *["150", "x", "6"],
        "1,933,970",
        "264,904,448",
        "18",
    ]
    for order in content:
        line = table[order["processor"], order["first"], order["core"], order["final"]]
        assert f"{order['parameters']:,}" in line
        assert f"{order['multiply_adds']:,}" in line


@pytest.mark.usefixtures("small_place")
def test_orders_with_a_plugin_say_which_cannot_be_built_and_why(shown, tmp_path):
    plugin = tmp_path / "narrow.py"
    plugin.write_text(PLUGIN)
    lines, content = shown("--orders", "--final", "autosome", "--plugin", str(plugin))
    assert lines[-1] == "9 of 18 orders build"
    refused = [order for order in content if not order["builds"]]
    assert {order["core"] for order in refused} == {"narrow"}
    reason = "core block narrow cannot be built on (batch, 150, 256): 256 channels do not divide"
    assert f"autosome autosome narrow autosome: {reason} by 3" in lines
    assert sum(line.endswith("cannot be built") for line in lines) == 9
    assert refused[0]["parameters"] is None


@pytest.mark.usefixtures("small_place")
def test_a_plugins_block_stands_on_the_menu(shown, tmp_path):
    plugin = tmp_path / "narrow.py"
    plugin.write_text(PLUGIN.replace("= 3", "= 2"))
    lines, content = shown("--slot", "core", "--plugin", str(plugin))
    assert "      a test's own file" in lines
    assert content[1]["name"] == "narrow"
    assert content[1]["parameters"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--final", "bhi"], "give --orders as well"),
        (["--orders", "--final", "bih"], 'Did you mean "bhi"'),
        (["--plugin", "nowhere.py"], "nowhere.py"),
    ],
)
def test_mistakes_are_named(arguments, said):
    with pytest.raises(UserError, match=said):
        main(arguments)
