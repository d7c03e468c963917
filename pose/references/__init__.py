"""The published way of each stage, slow and plain: what `pose benchmark` holds the fast code
against. Nothing else reads it, and tests take it as the reference of equality."""
