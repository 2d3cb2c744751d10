"""What makes models of labels, the encoders that it looks through, and the published models."""
