"""The menu of processors, first, core and final blocks, and trainers."""

from dream_keras.menu.head import Head
from dream_keras.menu.registry import MenuEntry, entries, get, names, register

__all__ = ["Head", "MenuEntry", "entries", "get", "names", "register"]
