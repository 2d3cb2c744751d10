"""Encoders, and the published models."""
