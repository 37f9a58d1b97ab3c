"""The common base of all fixture projects."""
