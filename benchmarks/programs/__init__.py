"""What runs in the environment of a contender, on nothing but what that brings along; started by its path."""
