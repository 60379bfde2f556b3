"""Networks in ONNX files and for `torch.export`: writing them, reading them, running them."""
