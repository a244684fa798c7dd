"""config.pbtxt by itself: pbtxt.py reads it.

config_fields.py   what each text in it may be; named_files.py the files that it names, unquoted.py what a shell reads
config_rules.py sample_rules.py   what Triton refuses, whatever the backend
roles.py           who fills each input and gets each output
rows.py            one row beside the model
"""
