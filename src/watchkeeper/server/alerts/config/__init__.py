"""``alertmanager.yml`` as values: routes, receivers, inhibition, time intervals."""
