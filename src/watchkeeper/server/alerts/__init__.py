"""Firing alerts turned into notifications that reach a person."""
