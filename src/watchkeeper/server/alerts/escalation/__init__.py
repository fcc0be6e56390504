"""Escalation: who is told next about an incident, until a person acknowledges it."""
