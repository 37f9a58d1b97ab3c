"""How a project's code comes to the controller."""
