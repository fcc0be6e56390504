"""PromQL parsed, checked and evaluated over any source of series."""
