"""The model as a graph of layers, the cuts it allows, and what crosses each."""
