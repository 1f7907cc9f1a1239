"""Tests, laid out as the layers are."""
