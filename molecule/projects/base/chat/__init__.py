"""The application that speaks WebSocket."""
