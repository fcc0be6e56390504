"""Prometheus rule files loaded and evaluated."""
