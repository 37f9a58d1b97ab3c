"""How a project's code gets to the controller."""
