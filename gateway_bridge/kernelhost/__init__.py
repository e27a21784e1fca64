"""The kernel host: the Jupyter kernels API next to the kernels it runs."""
