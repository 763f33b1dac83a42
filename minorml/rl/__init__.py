"""What reinforcement learning needs around the mathematics: tasks, rollouts, advantages, Adam, configuration."""
