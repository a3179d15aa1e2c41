"""Models, prices, lifetimes, GPU shapes and the memory-fit rule, as dated data."""
