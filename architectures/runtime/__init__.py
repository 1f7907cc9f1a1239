"""The process itself: what it prints, how it starts, what machine it runs on."""
