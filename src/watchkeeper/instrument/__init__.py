"""The application side: turns what an application does into logs, metrics and traces."""
