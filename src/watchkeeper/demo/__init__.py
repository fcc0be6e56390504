"""AgentDesk, an example product that imports the public door only."""
