"""Example tasks and their label config."""
