"""Comparisons of systems on a data set: train, separate, score, test differences, report."""
