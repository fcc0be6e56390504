"""Dashboards, alert rules and routes as typed, pure Python values."""
