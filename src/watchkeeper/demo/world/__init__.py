"""The outside world on loopback: an LLM provider, an identity provider and Slack."""
