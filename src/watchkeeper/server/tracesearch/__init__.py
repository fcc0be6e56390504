"""Traces by id and by TraceQL."""
