import pytest

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import Experiment
from dream_keras.config.smoke import shrink
from dream_keras.menu import registry


@pytest.fixture
def empty_place(monkeypatch):
    """Let a test register things that are gone afterwards."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def test_everything_published_is_on_the_menu():
    teams = ["autosome", "bhi", "unlockdna"]
    baselines = ["deepstarr", "malinois", "mpralegnet", "mprann", "vaishnav_transformer"]
    assert menu.names("first") == menu.names("core") == sorted([*teams, *baselines, "bpnet"])
    finals = ["autosome_regression", "gaussian", "profile"]
    assert menu.names("final") == sorted([*teams, *baselines, *finals])
    assert menu.names("trainer") == sorted([*teams, *baselines, "atac", "bpnet"])
    assert "autosome" in menu.names("processor")


@pytest.mark.usefixtures("empty_place")
def test_a_block_of_ones_own():
    @menu.register("core", "mine", source="here")
    def mine(x, width: int = 8):
        return x

    item = menu.get("core", "mine")
    assert item.build is mine
    assert dict(item.options) == {"width": 8}
    assert "mine" in menu.names("core")


@pytest.mark.usefixtures("empty_place")
def test_what_cannot_be_registered():
    with pytest.raises(UserError, match="is on the menu already"):
        menu.register("core", "bhi", source="here")(lambda x: x)
    with pytest.raises(UserError, match='unknown slot "middle"'):
        menu.register("middle", "x", source="here")
    with pytest.raises(UserError, match="needs head="):
        menu.register("final", "x", source="here")


def test_unknown_names_list_what_there_is():
    said = r'"bhii".*Did you mean "bhi".*autosome, bhi, bpnet, deepstarr'
    with pytest.raises(UserError, match=said):
        menu.get("first", "bhii")


@pytest.mark.parametrize("item", menu.entries(), ids=lambda item: f"{item.slot}-{item.name}")
def test_every_item_says_what_it_is(item):
    assert item.source
    assert item.build.__doc__
    documented = item.build.__doc__ + (item.build.__init__.__doc__ or "")
    if item.slot not in ("trainer",):
        for option in item.options:
            assert f"{option}:" in documented, f"option {option} is not documented"


@pytest.mark.usefixtures("empty_place")
def test_smoke_sizes_and_collections():
    with pytest.raises(UserError, match=r'in smoke "widht".*Did you mean "width"'):

        @menu.register("core", "wrong", source="here", smoke={"widht": 4})
        def wrong(x, width: int = 8):
            return x

    @menu.register("core", "mine", source="here", smoke={"width": 4, "sizes": (2, 3)})
    def mine(x, width: int = 8, sizes: tuple[int, ...] = (1, 9, 9), depth: int | None = None):
        return x

    order = {"processor": "autosome", "first": "autosome", "core": "mine", "final": "autosome"}
    experiment = Experiment.parse({"model": order, "trainer": "autosome"})
    assert shrink(experiment).model.core.options == {"width": 4, "sizes": (1, 3)}
    order["core"] = {"name": "mine", "width": 3}
    experiment = Experiment.parse({"model": order, "trainer": "autosome"})
    assert shrink(experiment).model.core.options["width"] == 3
    assert "mine" in menu.names("core")
    assert "mine" not in menu.names("core", "prix_fixe")
