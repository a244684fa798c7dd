"""What is measured: servers as the product starts them, their services and keys, and what a good answer is."""
