"""Everybody who can be told: Slack, email, PagerDuty, webhooks, and what apprise reaches."""
