"""The closed tables: metrics, spans, log events, attributes and limits that every room agrees on."""
