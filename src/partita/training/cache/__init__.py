"""Cache of decoded training audio."""
