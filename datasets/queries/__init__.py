"""What pages and the API are told. Changes nothing."""
