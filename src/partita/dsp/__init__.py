"""Signal processing: pure functions on tensors and on streams of tensors."""
