"""What moves, in the order it moves: intake, ledger, processes, routing, delivery. Law: every hand-over is a committed row."""
