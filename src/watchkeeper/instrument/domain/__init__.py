"""What an AI backend does, by name: agent runs, LLM calls, pipelines, jobs, sign-ins."""
