"""Structured logs: structlog and standard-library records in, one JSON shape out."""
