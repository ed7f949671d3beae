"""The blocks of the KV cache: who owns them, and what can be found in them."""
