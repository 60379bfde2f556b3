"""Plain modules that are taken for models."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.errors import ModelError, UsageError
from partita.models._protocol import ModelConfig, SeparationModel

_OVERLAP = 0.25  # of windows


class ModuleModel(SeparationModel):
    """A module that maps ``[batch, channels, samples]`` to ``[batch, sources, channels, samples]``.

    Parameters
    ----------
    module : Module
    config : ModelConfig
    window : Window or None
        None: it sees whole tracks.
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
            The module returns something of another shape.
        """
        estimates = self.module(mixture)
        batch, channels, samples = mixture.shape
        shape = batch, len(self.sources), channels, samples
        if not isinstance(estimates, Tensor) or tuple(estimates.shape) != shape:
            found = list(estimates.shape) if isinstance(estimates, Tensor) else type(estimates)
            raise ModelError(
                f"{self.registry_name} returned {found} for a mixture of {list(mixture.shape)}; "
                f"[batch, sources, channels, samples] is {list(shape)}"
            )
        return estimates


def as_model(
    module: nn.Module,
    *,
    sources: Sequence[str] | None = None,
    sample_rate: int | None = None,
    segment_s: float | None = None,
) -> SeparationModel:
    """Return a module as a model; models as they are.

    Parameters
    ----------
    module : Module
        Maps mixtures ``[batch, channels, samples]`` to estimates
        ``[batch, sources, channels, samples]``. Of its attributes, ``channels`` may be 1 or 2 (the
        default), and ``window`` a `Window`.
    sources : sequence of str, optional
        The order of its estimates; by default its attribute ``sources``.
    sample_rate : int, optional
        In hertz; by default its attribute ``sample_rate``.
    segment_s : float, optional
        It sees windows of that length; by default, whole tracks.

    Raises
    ------
    UsageError
        Sources or sample rate are missing, or given for a model, which has its own.
    ModelError
        Sources or a sample rate that cannot be.
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
            f"{type(module).__name__} does not say its {missing}: pass it, or make it an attribute"
        )
    channels = getattr(module, "channels", 2)  # which may mean something else there
    channels = channels if channels in (1, 2) else 2
    window = getattr(module, "window", None)
    if not isinstance(window, Window):
        window = None
    if window is None and segment_s is not None:
        length = max(1, round(segment_s * rate))
        window = Window(length, round(length * _OVERLAP))
    return ModuleModel(module, ModelConfig(tuple(names), rate, channels), window)
