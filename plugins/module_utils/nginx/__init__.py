"""Values of nginx's directives."""
