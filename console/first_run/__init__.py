"""What the first start makes: a way in, a team, the example service."""
