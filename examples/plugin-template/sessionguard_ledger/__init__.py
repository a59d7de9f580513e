"""A store for sessionguard in one JSON file, and a policy that takes chat ids for keys."""
