"""Granary on one machine: ``granary up`` and what it keeps in its directory."""
