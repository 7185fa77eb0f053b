"""Sources: topics that are not ours: where in their records our fields stand, and the columns that are made of them."""
