"""Runs on disk: their directories, checkpoints, kept failures, and what they were made with."""
