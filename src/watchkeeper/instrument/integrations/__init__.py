"""One module per library that watchkeeper can observe, all with the same face."""
