"""Pure decisions: (facts, policy, now) in, verdict with reasons out."""
