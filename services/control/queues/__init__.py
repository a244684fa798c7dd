"""Who waits in which line of a queue, and who has claimed what of it."""
