"""Definitions rendered into the files that other systems read."""
