"""What is declared, and the pure judgement that reads it; shared by the agent and the collector."""
