"""Prometheus targets found and scraped."""
