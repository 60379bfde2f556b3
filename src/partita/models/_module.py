"""Plain modules as models."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.errors import ModelError, UsageError
from partita.models._protocol import ModelConfig, SeparationModel

_OVERLAP = 0.25  # of windows


class ModuleModel(SeparationModel):
    """A plain module: ``[batch, channels, samples]`` to ``[batch, sources, channels, samples]``.

    Parameters
    ----------
    module : Module
    config : ModelConfig
    window : Window or None
        None: whole tracks.
    """

    config_type = ModelConfig

    def __init__(self, module: nn.Module, config: ModelConfig, window: Window | None) -> None:
        super().__init__(config)
        self.module, self.window = module, window
        setattr(self, "registry_name", type(module).__name__)  # noqa: B010 (of this one alone)

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate.

        Raises
        ------
        ModelError
            The estimates have another shape.
        """
        estimates = self.module(mixture)
        batch, channels, samples = mixture.shape
        shape = batch, len(self.sources), channels, samples
        if not isinstance(estimates, Tensor) or tuple(estimates.shape) != shape:
            found = list(estimates.shape) if isinstance(estimates, Tensor) else type(estimates)
            raise ModelError(
                f"{self.registry_name} returned {found} for a mixture of {list(mixture.shape)}, "
                f"not [batch, sources, channels, samples] = {list(shape)}"
            )
        return estimates


def as_model(
    module: nn.Module,
    *,
    sources: Sequence[str] | None = None,
    sample_rate: int | None = None,
    segment_s: float | None = None,
) -> SeparationModel:
    """Return a module as a model; models are returned unchanged.

    Parameters
    ----------
    module : Module
        Maps mixtures ``[batch, channels, samples]`` to estimates
        ``[batch, sources, channels, samples]``. Optional attributes: ``channels``, 1 or 2 (default
        2), and ``window``, a `Window`.
    sources : sequence of str, optional
        The order of the estimates; default: the module's attribute ``sources``.
    sample_rate : int, optional
        In hertz; default: the module's attribute ``sample_rate``.
    segment_s : float, optional
        Length of the windows, if the module has none; default: whole tracks.

    Raises
    ------
    UsageError
        Sources or sample rate are missing, or given for a `SeparationModel`.
    ModelError
        Sources or sample rate are invalid.
    """
    if isinstance(module, SeparationModel):
        if sources is not None or sample_rate is not None:
            raise UsageError(
                "`sources` and `sample_rate` are for plain modules: this model has its own"
            )
        return module
    names = sources if sources is not None else getattr(module, "sources", None)
    rate = sample_rate if sample_rate is not None else getattr(module, "sample_rate", None)
    if names is None or rate is None:
        missing = "`sources`" if names is None else "`sample_rate`"
        raise UsageError(
            f"{type(module).__name__} has no {missing}: pass it, or set it as an attribute"
        )
    channels = getattr(module, "channels", 2)  # of the audio if 1 or 2, else of a layer
    channels = channels if channels in (1, 2) else 2
    window = getattr(module, "window", None)
    if not isinstance(window, Window):
        window = None
    if window is None and segment_s is not None:
        length = max(1, round(segment_s * rate))
        window = Window(length, round(length * _OVERLAP))
    return ModuleModel(module, ModelConfig(tuple(names), rate, channels), window)
