"""Curves of a run: a plot of the losses, and event files for TensorBoard."""
