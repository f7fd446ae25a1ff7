"""A whole system moves: what it takes along, what may go wrong on the way, and who attacks it there."""
