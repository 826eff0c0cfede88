"""What a product team tests its own flows with. Walks need Hypothesis, which the engine itself does not."""
