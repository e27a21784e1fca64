"""The control plane over HTTP: a public REST API and the internal one of our processes."""
