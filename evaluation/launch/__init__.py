"""Launch: what must be there before an experiment can say something."""
