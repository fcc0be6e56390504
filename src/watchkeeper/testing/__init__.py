"""The public testing kit: capture in memory, fixed clock and ids, an in-process server, fakes."""
