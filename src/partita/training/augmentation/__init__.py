"""Augmentation: other levels, places and sounds of an excerpt's sources."""

from partita.training.augmentation.augment import augment
from partita.training.augmentation.distortions import draw_distortion
from partita.training.augmentation.settings import BY_SOURCE, NO_AUGMENTATION, Augmentation

__all__ = ["BY_SOURCE", "NO_AUGMENTATION", "Augmentation", "augment", "draw_distortion"]
