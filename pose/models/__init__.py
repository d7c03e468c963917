"""Networks: trunks, heads, the model that joins them, and the files their weights come from."""
