"""Runs inside JupyterHub and inside the user server."""
