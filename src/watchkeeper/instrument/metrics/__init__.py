"""Metrics in the application's process and the `/metrics` page that shows them."""
