"""The outline of the menu, which is read without Keras, against the menu itself."""

import typing

from dream_keras import menu
from dream_keras.menu.outline import outline


def test_the_outline_says_what_the_menu_does():
    ours = [entry for entry in menu.entries() if entry.module.startswith("dream_keras.menu.")]
    assert set(outline()) == {(entry.slot, entry.name) for entry in ours}
    known = 0
    for entry in ours:
        hints = typing.get_type_hints(entry.build_function)
        options = outline()[entry.slot, entry.name]
        assert set(options) == set(entry.options), entry
        for name, kind in options.items():
            assert kind in (hints[name], object), (entry, name)
            known += kind is not object
    assert known > 60
