"""Separation of single songs and batches."""
