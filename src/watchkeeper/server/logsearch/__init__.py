"""Log lines by LogQL."""
