"""People using AgentDesk: users of several tenants, on journeys, with a rhythm."""
