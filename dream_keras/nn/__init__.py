"""What blocks and trainers are made of: layers, initial weights, losses, optimisers, schedules."""
