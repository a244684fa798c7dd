"""The service form <-> the JSON of the API. Names of inputs are the dotted paths of the API's fields.

Nothing is judged here: services/parsing and services/actions/checks.py say what is wrong, and `ServiceForm.add_errors`
puts what they said beside the field that it is about. What a person sent is shown again as it was sent.
"""

from services.forms.payload import from_post, to_payload
from services.forms.spec import blank, from_spec
from services.forms.state import Field, FormRow, ServiceForm, make_row

__all__ = ["Field", "FormRow", "ServiceForm", "blank", "from_post", "from_spec", "make_row", "to_payload"]
