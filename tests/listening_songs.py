"""Songs of noise for listening tests: what is rated does not matter there."""

from __future__ import annotations

import numpy as np
import soundfile

from partita.reports.content import Report, Song

RATE = 16_000
ENTRANTS = ("alpha-net", "beta-net", "gamma-net")


def make_song(folder, name="Some Song", *, entrants=ENTRANTS, stems=("vocals", "bass")):
    """A song of 0.5 s; every entrant's error is louder than that of the one before."""
    rng = np.random.default_rng(0)
    shape = (2, RATE // 2)
    true = {stem: 0.1 * rng.standard_normal(shape) for stem in stems}

    def write(path, samples):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples.T, RATE, subtype="FLOAT")
        return path

    place = folder / name
    return Song(
        name=name,
        mixture=write(place / "mixture.wav", sum(true.values())),
        references={stem: write(place / f"{stem}.wav", true[stem]) for stem in stems},
        estimates={
            entrant: {
                stem: write(
                    place / entrant / f"{stem}.wav",
                    true[stem] + 0.02 * (number + 1) * rng.standard_normal(shape),
                )
                for stem in stems
            }
            for number, entrant in enumerate(entrants)
        },
    )


def make_report(*songs):
    """A report that holds nothing but songs."""
    return Report("a comparison of alpha-net, beta-net and gamma-net", [], [], songs)
