"""Durable state: blocking inside, async outside. Imports proto only."""
