"""Experiments and what shows them: training, adaptation at test time, sweeps, figures, pages of results."""
