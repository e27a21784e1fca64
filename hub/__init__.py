"""The control plane and the hub configuration: what is allowed, who holds what, what stops."""
