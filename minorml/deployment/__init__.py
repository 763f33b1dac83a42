"""From a trained run to a robot, and from the robot's log to an adapted policy."""
