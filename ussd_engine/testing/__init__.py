"""What a product team tests its own flows with. Needs Hypothesis, which the engine itself does not."""
