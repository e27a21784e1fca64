"""Rows to domain values and back. Every function is handed a session and never commits."""
