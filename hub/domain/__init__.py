"""Frozen values of the product's language: no IO, no clock, no framework."""
