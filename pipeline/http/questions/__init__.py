"""What the console asks of the archive and of memory: the reading is done elsewhere (see pipeline.questions)."""
