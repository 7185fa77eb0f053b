"""What people ask of a run afterwards: slices, metrics and causes that nobody foresaw, from the stages' own folds."""
