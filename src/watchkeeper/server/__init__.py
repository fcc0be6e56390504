"""The embedded engine: ingest, store, query, rules, alerts and the web UI in one process."""
