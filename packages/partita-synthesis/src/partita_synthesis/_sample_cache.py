"""A cache of decoded samples, up to a limit in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray


class SampleCache:
    """The most recently used arrays, for all threads of the process.

    Parameters
    ----------
    bytes_max : int
        Above it, the least recently used arrays are dropped.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._arrays: OrderedDict[Hashable, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the read-only array of `key`, loaded where it is not held."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        array = load()  # outside the lock: two threads may load the same, which does no harm
        array.setflags(write=False)
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = array
                self._bytes += array.nbytes
            while self._bytes > self._bytes_max and len(self._arrays) > 1:
                _, oldest = self._arrays.popitem(last=False)
                self._bytes -= oldest.nbytes
        return array

    @property
    def held_bytes(self) -> int:
        """Bytes of all arrays held."""
        return self._bytes
