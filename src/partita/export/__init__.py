"""Export of models for programs without PyTorch."""

from partita.weights.exported.write import ExportedFile, export_network

__all__ = ["ExportedFile", "export_network"]
