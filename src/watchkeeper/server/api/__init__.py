"""The HTTP routes: Prometheus, Tempo, Loki, OTLP and our own few."""
