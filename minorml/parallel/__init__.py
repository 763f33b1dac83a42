"""The work of one outer iteration, in shares: what a share is, and who does it."""
