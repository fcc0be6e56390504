"""AgentDesk's API: sign-in, documents, search and agents."""
