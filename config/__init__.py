"""The typed schema (schema.py) and the Hydra groups in YAML, which state only what differs from it."""
