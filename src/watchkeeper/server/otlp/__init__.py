"""OTLP requests decoded into rows."""
