"""Names from a large language model behind an OpenAI-compatible endpoint."""
