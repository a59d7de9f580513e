"""The operator's command line, an extra: `pip install "sessionguard[cli]"`."""
