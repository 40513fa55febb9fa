"""The worker processes: they take jobs from the queue and execute them."""
