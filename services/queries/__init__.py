"""What pages and the API show. Changes nothing."""
