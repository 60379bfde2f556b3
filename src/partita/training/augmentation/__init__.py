"""Augmentation: other levels, places and sounds of an excerpt's sources."""

from partita.training.augmentation.augment import augment
from partita.training.augmentation.distortions import draw_distortion
from partita.training.augmentation.settings import NO_AUGMENTATION, Augmentation

__all__ = ["NO_AUGMENTATION", "Augmentation", "augment", "draw_distortion"]
