/* Where a system fails: windows of a song by their SDR. */
"use strict";

(function () {
  function medianOf(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = Math.floor(sorted.length / 2);
    if (!sorted.length) return null;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** Windows of a system's stems, the lowest SDR first: [{stem, start in seconds, value, median}].
   *
   * @param isWanted  whether a stem is to be looked at
   */
  partita.worstWindows = function (song, name, isWanted) {
    const system = song.systems.find((each) => each.name === name);
    const stems = Object.entries(system ? system.sdr : {}).filter(([stem]) => isWanted(stem));
    const windows = stems.flatMap(([stem, values]) => {
      const median = medianOf(values.filter((value) => value !== null));
      return values.map((value, n) => ({ stem, value, median, start: n * song.hop }));
    });
    const found = windows.filter(({ value, start }) => value !== null && start < song.seconds);
    return found.sort((a, b) => a.value - b.value);
  };
})();
