"""Shuffled sequences with the same dinucleotides."""

import random
from itertools import pairwise


def dinucleotide_shuffle(sequence: str, source: random.Random) -> str:
    """Return a sequence with the same counts of all dinucleotides, uniform over all there are.

    The sequence is read as a walk over its letters, each dinucleotide an edge. A random tree of the
    edges by which each letter is left for the last time (Wilson 1996) and a random order of its
    other edges give each such walk with the same probability (Altschul and Erickson 1985). First
    and last letter stay. N is a letter like the others.

    Args:
        sequence: Any letters.
        source: Where randomness comes from.

    Examples:
        >>> dinucleotide_shuffle("AACGCATG", random.Random(3))
        'AACGCATG'
    """
    if len(sequence) < 4:
        return sequence
    following: dict[str, list[str]] = {}
    for first, second in pairwise(sequence):
        following.setdefault(first, []).append(second)
    end = sequence[-1]
    reached, last_exit = {end}, dict[str, int]()
    for start in following:
        letter = start
        while letter not in reached:
            last_exit[letter] = source.randrange(len(following[letter]))
            letter = following[letter][last_exit[letter]]
        letter = start
        while letter not in reached:
            reached.add(letter)
            letter = following[letter][last_exit[letter]]
    for letter, others in following.items():
        kept = others.pop(last_exit[letter]) if letter in last_exit and letter != end else None
        source.shuffle(others)
        if kept is not None:
            others.append(kept)
        others.reverse()
    shuffled = [sequence[0]]
    for _ in range(len(sequence) - 1):
        shuffled.append(following[shuffled[-1]].pop())
    return "".join(shuffled)
