from partita.weights.aliases import own_name
from partita.weights.resolve import resolve


def test_names_of_other_programs():
    assert own_name("spleeter:2stems") == "spleeter-2stems"
    assert [*map(own_name, ["955717e8", "75fc33f5"])] == ["htdemucs", "hdemucs_mmi"]
    assert own_name("spleeter-2stems:accompaniment+hpss") == "spleeter-2stems:accompaniment+hpss"
    assert own_name("runs/955717e8/model.safetensors") == "runs/955717e8/model.safetensors"


def test_they_are_names_everywhere():
    assert resolve("955717e8") == resolve("htdemucs")
    plan = resolve("spleeter:2stems+hpss")
    assert (plan.name, plan.label) == ("spleeter-2stems+hpss", "spleeter-2stems+hpss")
    assert plan.sources == ("vocals", "harmonic", "percussive", "residual")
