"""What releases run: read from manifests, built, kept, verified."""
