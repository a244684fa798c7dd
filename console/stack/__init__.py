"""The processes of one machine: what they are, how supervisord runs them, how `manage.py run` watches over them."""
