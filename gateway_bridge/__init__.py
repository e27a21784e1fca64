"""Runs in front of kernels: the bridge and the kernel host."""
