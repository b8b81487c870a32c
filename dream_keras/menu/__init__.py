"""The menu of processors, first, core and final blocks, and trainers."""

from dream_keras.menu.registry import Head, Item, get, items, names, register

__all__ = ["Head", "Item", "get", "items", "names", "register"]
