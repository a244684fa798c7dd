"""What people ask for: one function a verb, called by forms, the REST API and commands alike."""
