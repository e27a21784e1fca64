"""The ways to act on kernels at the hosts that run them."""
