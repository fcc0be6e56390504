"""Which receiver is told about which alerts, and when: pure, as Alertmanager does it."""
