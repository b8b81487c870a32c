"""First block of the UnlockDNA team: an embedding of every k-mer, plus one of the strand."""

import keras

from dream_keras.layers import AddStrandEmbedding, torch_start
from dream_keras.menu.registry import register


@register(
    "first",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA first layers",
    torch_names={"kmer": "kmer_dense", "strand": "strand_embedding"},
)
def unlockdna(x: keras.KerasTensor, out_channels: int = 512, kmer: int = 10) -> keras.KerasTensor:
    """One dense layer on every window of ``kmer`` positions, plus a learned strand vector.

    The windows, flattened position by position, through one dense layer are a convolution: kernel
    (kmer, planes, out). Padding is (kmer - 1) // 2 zeros on the left and kmer // 2 on the right.

    Args:
        x: Planes, (batch, length, planes).
        out_channels: Width of the embedding; 512 as published.
        kmer: Positions in a window; 10 as published.

    Returns:
        (batch, length, out_channels).
    """
    x = keras.layers.Conv1D(
        out_channels, kmer, padding="same", **torch_start(kmer * x.shape[-1]), name="first_kmer"
    )(x)
    return AddStrandEmbedding(name="first_strand")(x)
