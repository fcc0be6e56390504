"""Proof over HTTP: trace completeness, dashboard checks and alert drills."""
