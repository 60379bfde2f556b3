"""Export of models for programs without PyTorch."""

from partita.weights.exported.write import ExportedFile, describe, export_network

__all__ = ["ExportedFile", "describe", "export_network"]
