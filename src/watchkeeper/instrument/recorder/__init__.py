"""Spans: the OpenTelemetry trace API in, OTLP bytes out."""
