"""Rule files: loading, evaluation, and the state of alerts."""
