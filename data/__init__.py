"""Tables and text in, token batches out; scores predictions against tables. Knows no model."""
