"""Use cases. Each owns its transactions; none knows HTTP."""
