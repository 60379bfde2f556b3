"""Mixing: from the players' tracks to stems whose sum is the mixture."""

from partita_synthesis.mixing.desk import Channel, Mix, mix

__all__ = ["Channel", "Mix", "mix"]
