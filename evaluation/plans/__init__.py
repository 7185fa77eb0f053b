"""Plans: what the plan of a flag says now: the act to take, what it waits for, and why."""
